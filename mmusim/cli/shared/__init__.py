"""Code that several verbs share: options, tables, progress, run directories, views."""
