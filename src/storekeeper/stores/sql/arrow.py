"""pyarrow as the SQL stores use it: columns whose type is known at run time only.

The published stubs type every array by its scalar and every function by its overloads; here they are Any, in one place.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow  # noqa: ICN001  # `pa` is the untyped one
import pyarrow.compute

pa: Any = pyarrow
pc: Any = pyarrow.compute

#: Tables are typed, their columns are not.
Table: TypeAlias = pyarrow.Table
RecordBatch: TypeAlias = pyarrow.RecordBatch

Array: TypeAlias = Any
ChunkedArray: TypeAlias = Any
DataType: TypeAlias = Any
