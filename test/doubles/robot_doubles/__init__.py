"""Driver nodes that copy what real robot drivers were seen to do, quirks included, in front of one small plant."""
