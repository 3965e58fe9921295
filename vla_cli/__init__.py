"""The command line ``vla-monitor``: argument parsing, progress and tables over the other rooms."""
