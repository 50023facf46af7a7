"""Host profiles: data, one TOML file a machine."""
