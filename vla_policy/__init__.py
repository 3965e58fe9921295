"""The small vision-language-action policy that ships; free of ROS and of any bed."""
