"""What the commands share: flags, exit statuses, signals, the compilation cache."""
