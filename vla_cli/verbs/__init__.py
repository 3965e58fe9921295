"""One file a verb: ``add_arguments(parser)`` and ``run(args, console) -> Report``."""
