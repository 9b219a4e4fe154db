"""What is done with live sandboxes: shown, used, changed, paused and resumed."""
