"""Reaching the cluster: hosts, namespaces, tokens, cookies, certificates, and what is said where it fails."""

import shutil
import ssl
import subprocess

import pytest

SECRET = "eyJhbGciOiJSUzI1NiJ9.very-secret"
LIST = "--list-schedules"


@pytest.fixture(name="fails")
def fixture_fails(cluster):
    """Return a function that runs a command that must fail with one paragraph, and returns it."""
    def fails(*options):
        code, lines, err = cluster.run(*options)
        assert (code, lines, err.count("\n")) == (2, [], 1)
        return err

    return fails


@pytest.mark.parametrize(("host", "message"), [
    ("http://127.0.0.1:1", "--host: http://127.0.0.1:1. It does not answer"),
    ("http://no-such-host.invalid", "It does not answer"), ("ftp://kubeflow", "It must be a URL"),
    ("http://", "It must be a URL"), ("http://a:b", "It must be a URL"),
    ("http://me:pass@kubeflow", "An address holds no password")])
def test_wrong_host(host, message, cluster):
    cluster.url = host
    code, lines, err = cluster.run(LIST)
    assert (code, lines, err.count("\n")) == (2, [], 1) and message in err
    assert "pass@" not in err


def test_host_is_taken_from_the_environment_or_is_the_clusters_own(monkeypatch):
    from core.base.errors import UserError
    from pipelines.cluster.connection import IN_CLUSTER_HOST, host_of

    assert host_of("http://a", {"KF_PIPELINES_ENDPOINT": "http://b"}) == "http://a"
    assert host_of(None, {"KF_PIPELINES_ENDPOINT": "http://b", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == "http://b"
    assert host_of(None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == IN_CLUSTER_HOST
    with pytest.raises(UserError, match="Give it with --host"):
        host_of(None, {})


@pytest.mark.parametrize(("does", "message"), [
    ("page", "It answers with a web page where the API should be, as a login page does"),
    (404, "no Kubeflow Pipelines API of version 2 (404): a back-end older than 2.0"), (500, "could not answer (500"),
    ("drop", "It does not answer")])
def test_host_that_is_no_api_server(does, message, fails, cluster):
    from kfp_api.server import Fault

    cluster.stand_in.faults.append(Fault("GET", "healthz", does, times=10))
    assert message in fails(LIST)


def test_installation_for_many_users_wants_a_namespace(fails, cluster):
    cluster.stand_in.namespaces = {"team-a"}
    assert "--namespace: none given" in fails("--submit")
    assert cluster.run("--submit", "--namespace", "team-a")[0] == 0
    kept = [*cluster.stand_in.pipelines.values(), *cluster.stand_in.experiments.values()]
    assert {one["namespace"] for one in kept} == {"team-a"}
    assert "You have no right to this (403, PermissionDenied: User is not authorized with reason: namespace team-b" in (
        fails("--submit", "--namespace", "team-b"))
    assert len(cluster.stand_in.runs) == 1


def test_installation_for_one_user_takes_no_namespace(fails):
    assert "Leave --namespace out" in fails("--submit", "--namespace", "team-a")


@pytest.fixture(name="given", params=["--token-file", "environment", "pod", "--cookies-file", "cookie environment"])
def fixture_given(request, cluster, tmp_path, monkeypatch):
    """Give the right to ask in one of the ways; return the options."""
    from pipelines.cluster import auth

    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    if "cookie" in request.param:
        cluster.stand_in.cookie = SECRET
    else:
        cluster.stand_in.token = SECRET
    if request.param.startswith("--"):
        return [request.param, str(file)]
    if request.param == "pod":
        monkeypatch.setenv(auth.POD_TOKEN_VARIABLE, str(file))
        return []
    monkeypatch.setenv(auth.TOKEN_VARIABLE if request.param == "environment" else auth.COOKIES_VARIABLE, SECRET)
    return []


def test_every_way_to_prove_who_asks(given, cluster):
    code, lines, err = cluster.run("--submit", *given)
    assert code == 0 and SECRET not in "\n".join(lines) + err


def test_wrong_proof_is_told_and_never_shown(given, fails, cluster):
    cluster.stand_in.token = cluster.stand_in.cookie = "another"
    err = fails("--submit", *given)
    assert "does not know who asks (401, Unauthenticated" in err and SECRET not in err
    assert cluster.stand_in.pipelines == {}


@pytest.mark.parametrize("option", ["--token-file", "--cookies-file"])
@pytest.mark.parametrize(("content", "message"), [
    (b"", "It must hold one line"), (b"a\nb", "It must hold one line"), (b"\xff\xfe", "other than plain text")])
def test_file_that_holds_no_token(content, message, option, fails, tmp_path):
    (tmp_path / "secret").write_bytes(content)
    assert message in fails(LIST, option, str(tmp_path / "secret"))


def test_absent_files(fails, tmp_path):
    absent = str(tmp_path / "absent")
    for option in ("--token-file", "--cookies-file", "--ca-cert"):
        assert f"{option}: {absent}. It cannot be read (No such file" in fails(LIST, option, absent)


def test_token_in_the_environment_that_cannot_be_one_is_not_shown(fails, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_KFP_TOKEN", "secret\nX-Header: 1")
    err = fails(LIST)
    assert "$MMDET_COMPRESS_KFP_TOKEN: (not shown)" in err and "X-Header" not in err


def test_access_does_not_show_what_it_holds():
    from pipelines.cluster.auth import Access, Token

    assert repr(Access(Token(lambda: SECRET), SECRET)) == "Access(token, cookies)"
    assert repr(Access()) == "Access(anonymous)"


@pytest.fixture(name="secure")
def fixture_secure(cluster, tmp_path):
    """Serve with a certificate of its own authority; return the authority's file."""
    from kfp_api.server import start

    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = start(cluster.stand_in, context)
    cluster.url = f"https://127.0.0.1:{server.server_port}"
    yield certificate
    server.shutdown()
    server.server_close()


def test_authority_of_ones_own_is_trusted_where_it_is_given(secure, cluster, fails, monkeypatch):
    err = fails(LIST)
    assert "--ca-cert" in err and "CERTIFICATE_VERIFY_FAILED" in err
    assert cluster.run(LIST, "--ca-cert", str(secure))[0] == 0
    monkeypatch.setenv("MMDET_COMPRESS_KFP_CA", str(secure))
    assert cluster.run(LIST)[0] == 0


def test_file_that_is_no_certificate(fails, tmp_path):
    (tmp_path / "ca").write_text("hello")
    assert "It holds no certificate in PEM form" in fails(LIST, "--ca-cert", str(tmp_path / "ca"))


def test_what_another_program_kept_in_the_home_is_not_used(cluster, tmp_path):
    (tmp_path / "context.json").write_text('{"namespace": "someone-elses"}')
    assert cluster.run("--submit")[0] == 0
