def test_x(toy, capfd):
    print(toy.run("-p", "verdict=x"))
    print(toy.run())
    out = capfd.readouterr()
    print(out.out, out.err)
    import subprocess
    subprocess.run(["find", toy.work_dir, "-ls"])
    subprocess.run("tail -n 100 */logs/kfp.log */params.yaml; cat .pipeline/cache/*", shell=True, cwd=toy.work_dir)
    assert 0
