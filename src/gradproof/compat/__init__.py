"""Drop-ins for other checkers, with their signatures and their errors; and gradproof beside them in a suite as it is.

``gradproof.compat.torch.gradcheck`` and ``gradgradcheck``, ``gradproof.compat.jax.check_grads``,
``gradproof.compat.autograd.check_grads``, ``gradproof.compat.scipy.check_grad``: one import changed, and the suite asks
gradproof. Their steps and tolerances (``eps``, ``atol``, ``rtol``, ``epsilon``) are taken, and not needed: steps are found
by measurement, and tolerances are relative to the derivative. ``pytest --gradproof-shadow`` changes nothing at all: it asks
the same questions beside the checkers that a suite calls.
"""
