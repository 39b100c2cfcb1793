// Eager elementwise kernels.
