"""The WidowX-250s: its model, its servos, its driver's interface, and a kitchen table in its reach."""
