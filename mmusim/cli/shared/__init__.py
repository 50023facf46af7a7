"""What several verbs share: options, tables, progress, folders of runs, views."""
