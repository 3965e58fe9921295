"""The embedded bed: a table-top Franka in plain MuJoCo behind the topics of a real driver."""
