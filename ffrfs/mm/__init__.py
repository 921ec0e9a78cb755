"""Archives for OpenMMLab's frameworks: importing this declares the backend `ffrecord` to them, when they are imported.

In a config of either generation, so that no script changes:

    custom_imports = dict(imports=['ffrfs.mm'], allow_failed_imports=False)

then `backend_args=dict(backend='ffrecord', fname='data/coco.ffr', path_prefix='data/coco')` (mmengine; mmcv 1.x calls
it `file_client_args`), or in mmengine just `data_root='ffrecord:///data/coco.ffr/'`. Without any framework everything
here but `register` still works. May import `ffrfs.archive`, mmcv, mmengine and torch.
"""

from ffrfs.mm.at_import import FRAMEWORKS
from ffrfs.mm.client import FFRecordClient
from ffrfs.mm.prefetch import PrefetchDataset
from ffrfs.mm.registration import BACKEND, declare, register
from ffrfs.mm.sample import sample_files
from ffrfs.mm.workers import worker_init

__all__ = ["BACKEND", "FFRecordClient", "PrefetchDataset", "register", "sample_files", "worker_init"]

for _framework in FRAMEWORKS:
    declare(_framework)
