"""What a person writes: experiments and host profiles, as frozen values read from TOML."""
