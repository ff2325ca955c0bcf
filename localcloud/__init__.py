"""AWS on this machine: the ministack emulator plus what it lacks for this project."""
