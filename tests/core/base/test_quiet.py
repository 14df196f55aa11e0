import logging

from core.base.quiet import libraries_quiet


def test_libraries_are_quiet_in_the_block_alone_also_where_it_fails(caplog):
    mmcv, nncf = logging.getLogger("mmcv"), logging.getLogger("nncf")
    before = (mmcv.level, list(nncf.filters))
    try:
        with libraries_quiet():
            mmcv.info("said of mmcv")
            # As NNCF's import does.
            nncf.setLevel(logging.WARNING)
            nncf.warning("said of NNCF")
            nncf.error("an error of NNCF")
            raise OSError
    except OSError:
        assert (mmcv.level, nncf.filters) == before
    assert [record.message for record in caplog.records] == ["an error of NNCF"]
