package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"neutrino/host"
	"neutrino/reconcile"
)

const (
	insideEnv = "NEUTRINO_TEST_INSIDE"
	agentEnv  = "NEUTRINO_TEST_AGENT" // a root directory: start what it holds, say so, and wait to be killed
)

// TestMain runs the tests again in network and mount namespaces of their own.
func TestMain(m *testing.M) {
	if root := os.Getenv(agentEnv); root != "" {
		h := New(Options{Root: root})
		err := h.Apply(context.Background(), reconcile.Diff[string, host.Process]{Put: map[string]host.Process{root + "/d": daemon(root+"/d", "1")}})
		fmt.Println("started", err)
		select {}
	}
	if os.Getenv(insideEnv) != "" { // or our mounts would reach the machine
		if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
			panic(err)
		}
	}
	if os.Geteuid() != 0 || os.Getenv(insideEnv) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		os.Stderr.WriteString("in its own namespaces: " + err.Error() + "\n")
		os.Exit(1)
	}
}

type procs = map[string]host.Process

// script is a daemon that notes each SIGHUP in its directory, or dies of it.
const script = `d=$1; trap 'echo hup >>$d/hups; [ -e $d/fragile ] && exit 6' HUP; trap 'exit 0' TERM
[ -e $d/stubborn ] && trap : TERM; [ -e $d/broken ] && { echo "bad option" >&2; exit 3; }
echo $$ >$d/pid; while :; do sleep 0.02; done`

// daemon is a wanted process that stays in the foreground.
func daemon(dir, stamp string) host.Process {
	return host.Process{Argv: strings.Join([]string{"sh", "-c", script, "daemon", dir, "--pid-file=" + dir + "/pid"}, "\x00"),
		Loaded: stamp, Reload: host.ReloadHUP, Why: host.Why{Feature: "dhcp", Object: "network/" + filepath.Base(dir)}}
}

func hand(t *testing.T, root string) *Hand {
	h := New(Options{Root: root, StartTimeout: 3 * time.Second, StopTimeout: 300 * time.Millisecond})
	t.Cleanup(func() {
		converge(t, h, procs{})
		h.Close()
	})
	return h
}

func directory(t *testing.T, root, name string) string {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func converge(t *testing.T, h *Hand, want procs) reconcile.Result {
	t.Helper()
	part := &reconcile.Part[procs, string, host.Process]{Name: "processes", Hand: h, Same: Same,
		Want: func(p procs) map[string]host.Process { return p }, Object: func(p host.Process) string { return p.Why.Object }}
	return reconcile.Sync(context.Background(), []reconcile.Step[procs]{part}, want)
}

func clean(t *testing.T, h *Hand, want procs, changes int) {
	t.Helper()
	r := converge(t, h, want)
	if len(r.Problems) > 0 || r.Puts+r.Drops != changes {
		t.Fatalf("%+v, want %d changes", r, changes)
	}
}

func alive(dir string) int {
	pid, _ := running(dir)
	return pid
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen: %s", what)
}

func heard(h *Hand, within time.Duration) bool {
	select {
	case <-h.Events():
		return true
	case <-time.After(within):
		return false
	}
}

func TestADaemonIsStartedReloadedRestartedAndStopped(t *testing.T) {
	root := t.TempDir()
	dir := directory(t, root, "d")
	h := hand(t, root)
	clean(t, h, procs{dir: daemon(dir, "1")}, 1)
	first := alive(dir)
	clean(t, h, procs{dir: daemon(dir, "1")}, 0)
	clean(t, hand(t, root), procs{dir: daemon(dir, "1")}, 0)
	clean(t, h, procs{dir: daemon(dir, "2")}, 1)
	eventually(t, "it was told once", func() bool { b, _ := os.ReadFile(dir + "/hups"); return string(b) == "hup\n" })
	clean(t, h, procs{dir: daemon(dir, "2")}, 0)
	if alive(dir) != first || first == 0 {
		t.Fatal("it was restarted")
	}
	p := daemon(dir, "3")
	p.Reload = host.ReloadRestart
	clean(t, h, procs{dir: p}, 1)
	second := alive(dir)
	if second == first || second == 0 {
		t.Fatal("it was not restarted")
	}
	p.Argv += "\x00--more"
	clean(t, h, procs{dir: p}, 1)
	if third := alive(dir); third == second || third == 0 || !strings.HasSuffix(commandLine(third), "--more") {
		t.Fatal("it does not run with its new arguments")
	}
	touch(t, dir+"/stubborn")
	p.Loaded = "4"
	clean(t, h, procs{dir: p}, 1)
	last := alive(dir)
	if heard(h, 50*time.Millisecond) {
		t.Fatal("our own doing came as an event")
	}
	clean(t, hand(t, root), procs{}, 1)
	if commandLine(last) != "" {
		t.Fatal("it does not stop")
	}
	for _, name := range []string{"pid", "loaded"} {
		if _, err := os.Stat(dir + "/" + name); !os.IsNotExist(err) {
			t.Fatalf("%s is left: %v", name, err)
		}
	}
}

func TestAKilledDaemonIsNoticedAndStartedAgain(t *testing.T) {
	root := t.TempDir()
	dir := directory(t, root, "d")
	h, want := hand(t, root), procs{dir: daemon(dir, "1")}
	clean(t, h, want, 1)
	fresh := hand(t, root)
	clean(t, fresh, want, 0)
	pid := alive(dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !heard(h, time.Second) || !heard(fresh, time.Second) {
		t.Fatal("no event")
	}
	clean(t, h, want, 1)
	if now := alive(dir); now == 0 || now == pid {
		t.Fatal("not started again")
	}
}

func TestADaemonThatDiesOfSIGHUPIsStartedAgain(t *testing.T) {
	root := t.TempDir()
	dir := directory(t, root, "d")
	touch(t, dir+"/fragile")
	h := hand(t, root)
	clean(t, h, procs{dir: daemon(dir, "1")}, 1)
	pid := alive(dir)
	r := converge(t, h, procs{dir: daemon(dir, "2")})
	if len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	eventually(t, "it runs again with the new stamp", func() bool {
		if heard(h, 10*time.Millisecond) {
			converge(t, h, procs{dir: daemon(dir, "2")})
		}
		now := alive(dir)
		return now != 0 && now != pid && loaded(dir) == "2"
	})
}

func TestAReusedNumberIsNeverKilled(t *testing.T) {
	root := t.TempDir()
	dir := directory(t, root, "d")
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	if err := os.WriteFile(dir+"/pid", []byte(strconv.Itoa(other.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	h := hand(t, root)
	clean(t, h, procs{dir: daemon(dir, "1")}, 1)
	if err := h.stop(t.Context(), dir, other.Process.Pid); err != nil {
		t.Fatal(err)
	}
	clean(t, h, procs{}, 1)
	if commandLine(other.Process.Pid) == "" {
		t.Fatal("a stranger was killed")
	}
}

func TestAFailureIsToldInTheDaemonsWordsAndHarmsNoOther(t *testing.T) {
	root := t.TempDir()
	bad, good, gone := directory(t, root, "bad"), directory(t, root, "good"), directory(t, root, "gone")
	touch(t, bad+"/broken")
	missing := daemon(gone, "1")
	missing.Argv = "dnsmasq-not-here\x00--pid-file=" + gone + "/pid"
	h := hand(t, root)
	r := converge(t, h, procs{bad: daemon(bad, "1"), good: daemon(good, "1"), gone: missing,
		root + "/x": {Argv: "sh\x00-c\x00true"}, "/elsewhere/y": daemon("/elsewhere/y", "")})
	said := map[string]string{}
	for _, p := range r.Problems {
		said[p.Object] += p.Err.Error()
	}
	if len(r.Problems) != 4 || !strings.Contains(said["network/bad"], "exit status 3: bad option") ||
		!strings.Contains(said["network/gone"], "not installed: install the package") {
		t.Fatalf("%v", said)
	}
	if alive(good) == 0 {
		t.Fatal("the good one does not run")
	}
	if packageOf("dnsmasq") != "dnsmasq-base" {
		t.Fatal("package of dnsmasq")
	}
}

func TestAStrayWithoutPidFileIsReplaced(t *testing.T) {
	root := t.TempDir()
	dir := directory(t, root, "d")
	h, want := hand(t, root), procs{dir: daemon(dir, "1")}
	clean(t, h, want, 1)
	pid := alive(dir)
	if err := os.Remove(dir + "/pid"); err != nil {
		t.Fatal(err)
	}
	clean(t, hand(t, root), want, 1)
	if now := alive(dir); now == 0 || now == pid || commandLine(pid) != "" {
		t.Fatal("two daemons, or none")
	}
}

func TestADaemonOutlivesItsAgent(t *testing.T) {
	root := t.TempDir()
	dir := directory(t, root, "d")
	agent := agentProcess(t, root, "exec $SELF")
	pid := alive(dir)
	if err := syscall.Kill(-agent.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	clean(t, hand(t, root), procs{dir: daemon(dir, "1")}, 0)
	if alive(dir) != pid || pid == 0 {
		t.Fatal("the daemon went with its agent")
	}
}

// nohup(1) starts a program with SIGHUP ignored, a shell's "&" with SIGINT
// ignored, and execve(2) hands that on: dnsmasq would never be told of a change.
func TestADaemonOfAnAgentUnderNohupHearsSignals(t *testing.T) {
	root := t.TempDir()
	dir := directory(t, root, "d")
	agent := agentProcess(t, root, `trap "" HUP INT; exec $SELF`)
	defer agent.Wait()
	defer syscall.Kill(-agent.Process.Pid, syscall.SIGKILL)
	h := hand(t, root)
	clean(t, h, procs{dir: daemon(dir, "1")}, 0)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", alive(dir)))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "SigIgn:\t")
	ignored, err := strconv.ParseUint(strings.Fields(rest)[0], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if ignored&(1<<(s-1)) != 0 {
			t.Errorf("the daemon ignores %v", s)
		}
	}
}

// agentProcess starts this program, $SELF in a shell's command, as an agent. When
// it returns, the agent has started the daemon of the root directory.
func agentProcess(t *testing.T, root, command string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.Command("sh", "-c", command)
	agent.Env = append(os.Environ(), agentEnv+"="+root, "SELF="+self)
	agent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	n, err := out.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "started <nil>") {
		t.Fatalf("%q %v", buf[:n], err)
	}
	return agent
}

func sh(t *testing.T, text string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", text).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", text, err, out)
	}
	return string(out)
}

// dnsmasq is a network's daemon with the arguments that matter here.
func dnsmasq(dir, ns, stamp string) host.Process {
	return host.Process{NetNS: ns, Loaded: stamp, Reload: host.ReloadHUP, Why: host.Why{Object: "network/" + filepath.Base(dir)},
		Argv: strings.Join([]string{"dnsmasq", "--no-hosts", "--no-resolv", "--pid-file=" + dir + "/pid", "--dhcp-hostsfile=" + dir + "/host",
			"--addn-hosts=" + dir + "/addn_hosts", "--dhcp-optsfile=" + dir + "/opts", "--dhcp-leasefile=" + dir + "/leases",
			"--local-service", "--bind-dynamic", "--dhcp-range=set:subnet-1,10.1.0.0,static,255.255.255.0,86400s",
			"--dhcp-lease-max=256", "--conf-file=/dev/null", "--domain=openstacklocal"}, "\x00")}
}

func TestDnsmasqInItsNamespace(t *testing.T) {
	if testing.Short() || os.Getenv(insideEnv) == "" {
		t.Skip("SKIPPED, NOT TESTED: namespaces need root")
	}
	if _, err := find("dnsmasq"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
	sh(t, "mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; ip netns add qdhcp-a; ip -n qdhcp-a link set lo up")
	t.Cleanup(func() { sh(t, "ip netns del qdhcp-a || true; umount -l /run/netns") })
	root, err := os.MkdirTemp("/tmp", "neutrino-process-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := directory(t, root, "net-a")
	for _, name := range []string{"host", "addn_hosts", "opts", "leases"} {
		touch(t, dir+"/"+name)
	}
	h, want := hand(t, root), procs{dir: dnsmasq(dir, "qdhcp-a", "1")}
	began := time.Now()
	clean(t, h, want, 1)
	t.Logf("started in %v", time.Since(began))
	clean(t, h, want, 0)
	clean(t, hand(t, root), want, 0)
	pid := alive(dir)
	if got := sh(t, "ip netns pids qdhcp-a"); strings.TrimSpace(got) != strconv.Itoa(pid) {
		t.Fatalf("in the namespace runs %q, not %d", got, pid)
	}
	want[dir] = dnsmasq(dir, "qdhcp-a", "2")
	clean(t, h, want, 1)
	if alive(dir) != pid {
		t.Fatal("SIGHUP restarted it")
	}
	sh(t, "ip netns del qdhcp-a; ip netns add qdhcp-a")
	clean(t, h, want, 1)
	if now := alive(dir); now == pid || now == 0 {
		t.Fatal("it is still in the deleted namespace")
	}
	absent := directory(t, root, "net-b")
	r := converge(t, h, procs{dir: want[dir], absent: dnsmasq(absent, "qdhcp-b", "1")})
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Err.Error(), "namespace qdhcp-b is not there yet") {
		t.Fatalf("%+v", r)
	}
	broken := dnsmasq(absent, "qdhcp-a", "1")
	broken.Argv += "\x00--no-such-option"
	r = converge(t, h, procs{dir: want[dir], absent: broken})
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Err.Error(), "bad command line options") {
		t.Fatalf("%+v", r)
	}
	clean(t, h, procs{}, 1)
	if got := sh(t, "ip netns pids qdhcp-a"); got != "" {
		t.Fatalf("still running: %s", sh(t, "ps -fp "+got+" -o pid,ppid,stat,args"))
	}
}

func TestPidFilesMayHoldAnything(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"0", "1", "-1", "-7\n", "99999999999999999999", " 2 \n"})).Draw(t, "pid")
		if err := os.WriteFile(dir+"/pid", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if pid, argv := running(dir); pid != 0 && (pid <= 1 || !names(argv, dir)) {
			t.Fatalf("%q names process %d", text, pid)
		}
	})
}

func TestWhoseArgumentsNameADirectory(t *testing.T) {
	for argv, want := range map[string]bool{
		"x\x00/d/n/pid": true, "x\x00--pid-file=/d/n/pid": true, "x\x00-x,/d/n/pid": true, "x\x00/d/n": false,
		"x\x00/d/n2/pid": false, "x\x00/other/d/n/pid": false, "": false,
	} {
		if names(argv, "/d/n") != want {
			t.Errorf("%q", argv)
		}
	}
}
