"""What is drawn: figures, charts and sheets, and the numbers that the paper's figures are judged by."""
