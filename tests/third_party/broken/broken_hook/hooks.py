from lasar_kit.hookspecs import hookimpl


@hookimpl
def lasar_stage_end(run, stage, repport):
    """Its last argument is misspelt."""
