"""What all charts look like."""

INK, FAINT = "#222222", "#767676"
