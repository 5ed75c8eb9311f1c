"""Archives are not trusted: every way of harming the user's disk is refused before anything is unpacked."""

import gzip
import os
import zipfile
from pathlib import Path
from random import Random

import pytest

from g287stats.catalog import archives
from g287stats.errors import SourceError


def take(paths, tmp_path, wanted=lambda n: n.endswith(".txt")):
    into = tmp_path / "into"
    into.mkdir(exist_ok=True)
    return archives.collect(paths, into, wanted)


def make_zip(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in entries.items():
            z.writestr(name, content)
    return path


def test_takes_only_wanted_members_and_knows_where_they_came_from(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"DS4/x.txt": "one", "codebook.pdf": "pdf"})
    (member,) = take([path], tmp_path)
    assert (member.name, member.label, member.suffix) == ("DS4/x.txt", "a.zip: DS4/x.txt", ".txt")
    assert member.path.read_text() == "one"
    assert member.path.parent == tmp_path / "into"


@pytest.mark.parametrize("name", ["../x.txt", "a/../../x.txt", "/etc/x.txt", "C:/x.txt", "..\\x.txt"])
def test_path_outside_refuses_the_whole_archive(tmp_path, name):
    path = make_zip(tmp_path / "a.zip", {"good.txt": "good", name: "bad"})
    with pytest.raises(SourceError, match="point outside the archive"):
        take([path], tmp_path)
    assert not list((tmp_path / "into").iterdir())
    assert not (tmp_path / "x.txt").exists()


def test_bomb_is_refused_unopened(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"x.txt": "0" * (archives.RATIO_FLOOR_BYTES + 1)})
    with pytest.raises(SourceError, match="far more than they hold"):
        take([path], tmp_path)
    assert not list((tmp_path / "into").iterdir())


def test_gzip_bomb_is_stopped_while_it_unpacks(tmp_path):
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(b"0" * (archives.RATIO_FLOOR_BYTES + (1 << 22))))
    with pytest.raises(SourceError, match="unpacks to more than"):
        take([path], tmp_path)


def test_link_and_duplicate_and_total_size(tmp_path, monkeypatch):
    link = zipfile.ZipInfo("x.txt")
    link.external_attr = 0o120777 << 16
    path = tmp_path / "a.zip"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as z:
        z.writestr(link, "/etc/passwd")
        z.writestr("y.txt", "1")
        z.writestr("y.txt", "2")
    with pytest.raises(SourceError, match=r"(?s)symbolic links.*occur twice"):
        take([path], tmp_path)
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 3)
    with pytest.raises(SourceError, match="the limit is 3"):
        take([make_zip(tmp_path / "b.zip", {"x.txt": "1234"})], tmp_path)


def test_truncated_empty_and_absent_are_all_named_at_once(tmp_path):
    whole = make_zip(tmp_path / "a.zip", {"x.txt": "one" * 1000}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "b.tar.gz").write_bytes(b"x")
    with pytest.raises(SourceError) as caught:
        take([tmp_path / n for n in ("cut.zip", "empty.txt", "b.tar.gz", "none.txt")], tmp_path)
    text = str(caught.value)
    assert "4 problems" in text
    for part in ("cut.zip: not a complete zip", "empty.txt: the file is empty", "only zip", "no such file"):
        assert part in text


def test_corrupt_member_is_named(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        z.writestr("x.txt", "hello hello hello")
    path.write_bytes(path.read_bytes().replace(b"hello hello hello", b"hello HELLO hello"))
    with pytest.raises(SourceError, match=r"x\.txt cannot be unpacked"):
        take([path], tmp_path)


def test_zip_in_zip_is_opened_and_checked_too(tmp_path):
    inner = make_zip(tmp_path / "inner.zip", {"x.txt": "one"})
    evil = make_zip(tmp_path / "evil.zip", {"../x.txt": "one"})
    (member,) = take([make_zip(tmp_path / "a.zip", {"inner.zip": inner.read_bytes()})], tmp_path)
    assert member.path.read_text() == "one"
    with pytest.raises(SourceError, match="point outside"):
        take([make_zip(tmp_path / "b.zip", {"inner.zip": evil.read_bytes()})], tmp_path)


def test_folder_is_walked_and_links_in_it_left_alone(tmp_path):
    folder = tmp_path / "unpacked" / "DS4"
    folder.mkdir(parents=True)
    (folder / "x.txt").write_text("one")
    (folder / "y.txt").symlink_to("/etc/hostname")
    (member,) = take([tmp_path / "unpacked"], tmp_path)
    assert member.name == "DS4/x.txt"


def test_a_corrupted_stream_and_an_unknown_method_are_told(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"x.txt": "".join(str(n) for n in range(5000))})
    raw = path.read_bytes()
    damaged = bytearray(raw)
    damaged[60:120] = bytes(range(60))
    path.write_bytes(damaged)
    with pytest.raises(SourceError, match=r"x\.txt cannot be unpacked"):
        take([path], tmp_path)
    unknown = bytearray(raw)
    for start, where in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        at = unknown.find(start)
        unknown[at + where : at + where + 2] = (97).to_bytes(2, "little")
    path.write_bytes(unknown)
    with pytest.raises(SourceError, match=r"x\.txt cannot be unpacked"):
        take([path], tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_to_an_archive_escapes_as_another_error(tmp_path, seed):
    random = Random(seed)
    text = "".join(random.choice("abcdef\n") for _ in range(4000)).encode()
    name, raw = ("x.txt.gz", gzip.compress(text)) if seed % 2 else ("a.zip", None)
    path = tmp_path / name
    if raw is None:
        raw = make_zip(path, {"x.txt": text, "y.txt": text}).read_bytes()
    damaged = bytearray(raw)
    for _ in range(random.choice((1, 3, 20))):
        damaged[random.randrange(len(damaged))] = random.randrange(256)
    path.write_bytes(damaged[: random.choice((len(damaged), len(damaged) // 2))])
    try:
        assert all(m.path.is_file() for m in take([path], tmp_path))
    except SourceError as error:
        assert name in str(error)


def test_pipes_devices_and_unreadable_files_are_told_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(SourceError, match=r"(?s)pipe\.txt: cannot be read.*/dev/zero: cannot be read"):
        take([tmp_path / "pipe.txt", Path("/dev/zero")], tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "pipe.txt")
    assert take([folder], tmp_path) == []
    (tmp_path / "folder.zip").mkdir()
    assert take([tmp_path / "folder.zip"], tmp_path) == []


def test_a_bomb_inside_a_packed_stream_is_stopped_by_size_too(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(os.urandom(5000)))
    with pytest.raises(SourceError, match="unpacks to more than"):
        take([path], tmp_path)
