"""Grade what comes back: each answer in a process of its own behind a wall."""
