"""The kit's own tasks for lm-eval, so that somebody else's program can check our scores.

    medmoe lm-tasks FOLDER                          items as JSONL, a YAML file for each task
    lm_eval --include_path FOLDER --tasks medmoe_json,medmoe_choice ...

Nothing is fetched: the items lie in the folder, and the base is a folder too.
"""
