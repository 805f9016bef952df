"""What operations run on: devices, memory layout, threads, memory, random numbers, and the choice of a kernel."""
