"""What the commands of cli.py do: settle the options, open the data, train or measure, leave the pictures."""
