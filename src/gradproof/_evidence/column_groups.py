"""Groups of columns of a sparse matrix that share no row: one displacement measures all entries of a group at once.

Source: A. R. Curtis, M. J. D. Powell, J. K. Reid, On the estimation of sparse Jacobian matrices, IMA J. Appl. Math. 13
(1974) 117. Greedy, columns in their own order, which is optimal for bands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def column_groups(pattern: Any, most: int) -> NDArray[np.int64] | None:
    """Return the group of each column, or None where more than `most` groups would be needed.

    Parameters
    ----------
    pattern
        A SciPy sparse matrix.
    most
        Largest number of groups that is of use.
    """
    by_column = pattern.tocsc()
    starts, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    # Per row, the groups that have an entry there, as bits.
    taken = [0] * pattern.shape[0]
    groups = np.zeros(pattern.shape[1], dtype=np.int64)
    for column in range(pattern.shape[1]):
        own = rows[starts[column] : starts[column + 1]]
        forbidden = 0
        for row in own:
            forbidden |= taken[row]
        group = (~forbidden & (forbidden + 1)).bit_length() - 1
        if group >= most:
            return None
        groups[column] = group
        for row in own:
            taken[row] |= 1 << group
    return groups
