"""The table of the published data sets: their files with sizes and digests, their mirrors, and their forms on disk.

The MD5s are those that torchvision lists; the ones of unpacked files were taken from the archives' content. `content`
was measured with `splits.content_digest` on verified files.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from convarium.data.readers import (
    read_archive,
    read_cifar_binary,
    read_cifar_pickle,
    read_cifar_pickles,
    read_digits,
    read_idx,
    read_idx_part,
)
from convarium.data.sources import Dataset, Layout, RemoteFile
from convarium.errors import SpecError
from convarium.records import ImageSpec
from convarium.spec import unknown

IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _idx_files(sizes: Sequence[int], md5s: Sequence[str], mirrors: Sequence[str]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(f"{name}.gz", size, md5, tuple(f"{mirror}/{name}.gz" for mirror in mirrors))
        for name, size, md5 in zip(IDX_NAMES, sizes, md5s, strict=True)
    )


def _idx_layouts(files: Sequence[RemoteFile], folders: tuple[str, ...], raw: Sequence[str] = ()) -> tuple[Layout, ...]:
    forms = [{f.name: f.md5 for f in files}, *([dict(zip(IDX_NAMES, raw, strict=True))] if raw else [])]
    unpacked = {file.name: md5 for file, md5 in zip(files, raw, strict=False)}
    return tuple(Layout(form, folders, read_idx, read_idx_part, test_files=2, unpacked=unpacked) for form in forms)


def _cifar_file(name: str, size: int, md5: str) -> RemoteFile:
    mirrors = ("https://www.cs.toronto.edu/~kriz", "https://dataset.bj.bcebos.com/cifar")
    return RemoteFile(name, size, md5, tuple(f"{mirror}/{name}" for mirror in mirrors))


def _cifar_layouts(
    folders: tuple[str, ...],
    *,
    python: tuple[str, Mapping[str, str], RemoteFile],
    binary: tuple[str, Mapping[str, str], str, str],
    label_bytes: int = 1,
) -> tuple[Layout, ...]:
    unpacked, pickles, archive = python
    unpacked_binary, records, archive_binary, md5 = binary
    read_pickles = partial(read_archive, members=tuple(pickles), read=read_cifar_pickles)
    read_binary = partial(read_cifar_binary, label_bytes=label_bytes)
    return (
        Layout(pickles, tuple(f"{folder}/{unpacked}" for folder in folders), read_cifar_pickles, read_cifar_pickle),
        Layout(records, tuple(f"{folder}/{unpacked_binary}" for folder in folders), read_binary),
        Layout({archive.name: archive.md5}, folders, read_pickles, members=pickles),
        Layout(
            {archive_binary: md5},
            folders,
            partial(read_archive, members=tuple(records), read=read_binary),
            members=records,
        ),
    )


_TEN_DIGITS = tuple("0123456789")

DIGITS = Dataset(
    title="Optical recognition of handwritten digits, 8×8 enlarged to 28×28",
    source="E. Alpaydin, C. Kaynak, UCI, 1998 (DOI 10.24432/C50P49); the test part, as scikit-learn carries it",
    licence="CC BY 4.0",
    class_names=_TEN_DIGITS,
    spec=ImageSpec(1, 28, 28, 10),
    train=1437,
    test=360,
    validation=180,
    mean=(0.3054,),
    std=(0.3246,),
    flips=False,
    layouts=(Layout({}, (".",), read_digits),),
    content="32580e73063951cd39c53796c66fd7d9b7f2a401cd52768ec3ae3db1a37ce1ae",
)

_MNIST_FILES = _idx_files(
    (9912422, 28881, 1648877, 4542),
    (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        "https://dataset.bj.bcebos.com/mnist",
    ),
)
MNIST = Dataset(
    title="MNIST handwritten digits",
    source="Y. LeCun, C. Cortes, C. J. C. Burges, http://yann.lecun.com/exdb/mnist/, 1998",
    licence="CC BY-SA 3.0",
    class_names=_TEN_DIGITS,
    spec=ImageSpec(1, 28, 28, 10),
    train=60000,
    test=10000,
    validation=5000,
    mean=(0.1307,),
    std=(0.3081,),
    flips=False,
    files=_MNIST_FILES,
    layouts=_idx_layouts(
        _MNIST_FILES,
        ("mnist", "MNIST/raw", "MNIST"),
        raw=(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    content="e0130f111822ed58de3ba94ad450971c80ee446d2ff4d08e2b4c8e8be16eae50",
)

_FASHION_FILES = _idx_files(
    (26421880, 29515, 4422102, 5148),
    (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        "https://dataset.bj.bcebos.com/fashion_mnist",
    ),
)
FASHION_MNIST = Dataset(
    title="Fashion-MNIST, photographs of clothes",
    source="H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747, 2017",
    licence="MIT",
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    spec=ImageSpec(1, 28, 28, 10),
    train=60000,
    test=10000,
    validation=5000,
    mean=(0.2860,),
    std=(0.3530,),
    flips=True,
    files=_FASHION_FILES,
    layouts=_idx_layouts(
        _FASHION_FILES,
        ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist"),
        raw=(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
    ),
    content="a06d3266794aa0147787f49603795ec5e8a32fac55270d9b4ac38d415b342e8c",
)  # fmt: skip

_KMNIST_FILES = _idx_files(
    (18165135, 29497, 3041136, 5120),
    (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
    ("https://codh.rois.ac.jp/kmnist/dataset/kmnist", "http://codh.rois.ac.jp/kmnist/dataset/kmnist"),
)
KMNIST = Dataset(
    title="Kuzushiji-MNIST, cursive Japanese characters",
    source="T. Clanuwat et al., arXiv 1812.01718, 2018",
    licence="CC BY-SA 4.0",
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    spec=ImageSpec(1, 28, 28, 10),
    train=60000,
    test=10000,
    validation=5000,
    mean=(0.1918,),
    std=(0.3483,),
    flips=False,
    files=_KMNIST_FILES,
    layouts=_idx_layouts(_KMNIST_FILES, ("kmnist", "KMNIST/raw", "KMNIST")),
)

_CIFAR10_FILE = _cifar_file("cifar-10-python.tar.gz", 170498071, "c58f30108f718f92721af3b95e74349a")
_CIFAR10_PICKLES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_CIFAR10_RECORDS = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
CIFAR10 = Dataset(
    title="CIFAR-10, small color photographs",
    source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    licence="not stated by the publisher",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    spec=ImageSpec(3, 32, 32, 10),
    train=50000,
    test=10000,
    validation=5000,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    flips=True,
    files=(_CIFAR10_FILE,),
    layouts=_cifar_layouts(
        (".", "cifar-10", "cifar10", "CIFAR10"),
        python=("cifar-10-batches-py", _CIFAR10_PICKLES, _CIFAR10_FILE),
        binary=("cifar-10-batches-bin", _CIFAR10_RECORDS, "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    ),
    content="088db17c50ddf8b6d4ae26627291c330435e1f1bd0f0f70db194a685896d7abd",
)

_CIFAR100_FILE = _cifar_file("cifar-100-python.tar.gz", 169001437, "eb9058c3a382ffc7106e4002c42a8d85")
_CIFAR100_PICKLES = {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}
_CIFAR100_RECORDS = {"train.bin": "6172c7755cfe09b2fe270c85cebc1b15", "test.bin": "4499cfba6c016c1be1438163640a0898"}
_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
CIFAR100 = Dataset(
    title="CIFAR-100, small color photographs, fine labels",
    source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    licence="not stated by the publisher",
    class_names=tuple(_CIFAR100_NAMES.split()),
    spec=ImageSpec(3, 32, 32, 100),
    train=50000,
    test=10000,
    validation=5000,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    flips=True,
    files=(_CIFAR100_FILE,),
    layouts=_cifar_layouts(
        (".", "cifar-100", "cifar100", "CIFAR100"),
        python=("cifar-100-python", _CIFAR100_PICKLES, _CIFAR100_FILE),
        binary=("cifar-100-binary", _CIFAR100_RECORDS, "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
        label_bytes=2,
    ),
)

DATASETS: dict[str, Dataset] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "kmnist": KMNIST,
}
"""The published data sets by the names that recipes give them."""


def lookup(dataset: str) -> Dataset:
    """The entry of DATASETS.

    Raises:
        SpecError: there is none, with the nearest names.
    """
    if dataset not in DATASETS:
        if "/" in dataset or Path(dataset).is_dir():
            raise SpecError(f"unknown data set {dataset!r}", hint=f"did you mean 'folder:{dataset}', your own images?")
        raise unknown("data set", dataset, DATASETS, hint="(or folder:PATH, csv:FILE or npz:FILE for your own images)")
    return DATASETS[dataset]
