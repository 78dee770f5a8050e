package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the holder of a lab's hosts, as the real
// binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "lab" {
		cmd := Command()
		cmd.SetArgs(os.Args[2:])
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		if err := cmd.ExecuteContext(context.Background()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// story is a test that needs root and a lab of its own, which it leaves
// nothing of.
func story(t *testing.T) (context.Context, *Lab) {
	t.Helper()
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("SKIPPED: NOT ROOT. This test makes namespaces; run it with sudo.")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	dir, err := os.MkdirTemp("", "lab-")
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(ctx, Settings{Name: filepath.Base(dir), Dir: filepath.Join(dir, "lab"), Binary: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	l.Progress = t.Output()
	if err := l.checkRequirements(ctx); err != nil {
		t.Skip("SKIPPED: ", err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Errorf("down: %v", err)
		}
		// Not RemoveAll: what Down left is a failure.
		if err := os.Remove(dir); err != nil {
			t.Errorf("down left files: %v", err)
		}
	})
	return ctx, l
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hosts makes the lab's hosts without server and agents.
func hosts(t *testing.T, ctx context.Context, l *Lab) (network1, compute1 *Host) {
	t.Helper()
	must(t, l.begin(ctx))
	must(t, l.makeHosts(ctx))
	network1, err := l.Host("network1")
	must(t, err)
	compute1, err = l.Host("compute1")
	must(t, err)
	return network1, compute1
}

func TestHostAnswersAsARealOne(t *testing.T) {
	ctx, l := story(t)
	network1, compute1 := hosts(t, ctx, l)
	for _, c := range []struct {
		host *Host
		argv string
		want string
	}{
		{compute1, "hostname", "compute1"},
		{network1, "hostname", "network1"},
		{compute1, "ovs-vsctl br-exists br-phy", ""},
		{compute1, "ovs-vsctl list-ports br-phy", "eth0"},
		{compute1, "ovs-vsctl get Bridge br-phy datapath_type", "netdev"},
		{compute1, "sysctl -n net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables", "1\n1"},
		{compute1, "sysctl -n net.ipv4.ip_forward", "0"},
		{compute1, "ip netns", ""},
		{compute1, "iptables -S", "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT"},
		{compute1, "ls /var/lib/neutron", ""},
	} {
		got, err := c.host.Run(ctx, strings.Fields(c.argv)...)
		must(t, err)
		if got != c.want {
			t.Errorf("%s: %s: %q, want %q", c.host.Name, c.argv, got, c.want)
		}
	}
	if links, err := compute1.Run(ctx, "ls", "/sys/class/net"); err != nil || strings.Contains(links, "network1") {
		t.Errorf("/sys of compute1 shows %q (%v), want its own interfaces", links, err)
	}
	// What is private stays private.
	_, err := compute1.Run(ctx, "ip", "netns", "add", "only-here")
	must(t, err)
	if out, _ := network1.Run(ctx, "ip", "netns"); out != "" {
		t.Errorf("network1 sees compute1's namespaces: %q", out)
	}
	if _, err := os.Stat("/run/netns/only-here"); err == nil {
		t.Error("the machine sees compute1's namespaces")
	}
	var exit *exec.ExitError
	if err := compute1.Command(ctx, "sh", "-c", "exit 7").Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("exit code: %v, want 7", err)
	}
}

func TestDownLeavesNothingBehind(t *testing.T) {
	links, mounts := rootLinks(t), rootMounts(t)
	ctx, l := story(t)
	_, compute1 := hosts(t, ctx, l)
	// Things that the lab does not know of: a namespace, a daemon in it that
	// has left its session, as an agent's dnsmasq.
	_, err := compute1.Run(ctx, "ip", "netns", "add", "qdhcp-stray")
	must(t, err)
	_, err = compute1.Run(ctx, "ip", "netns", "exec", "qdhcp-stray", "setsid", "-f", "sleep", "1000")
	must(t, err)
	before, err := l.marked(ctx)
	must(t, err)
	var stray Process
	for _, p := range before {
		if p.Name == "sleep" {
			stray = p
		}
	}
	if !stray.Alive(ctx) {
		t.Fatalf("the stray daemon is not among %v", before)
	}
	id := l.snapshot().ID
	all := append(l.snapshot().Processes, before...)

	must(t, l.Down(ctx))
	for _, p := range all {
		if p.Alive(ctx) {
			t.Errorf("%s of %s, pid %d, is alive after down", p.Name, p.Host, p.PID)
		}
	}
	l.state.ID = id
	if left, err := l.marked(ctx); err != nil || len(left) > 0 {
		t.Errorf("processes in the lab's hosts after down: %v (%v)", left, err)
	}
	l.state.ID = ""
	if now := rootLinks(t); now != links {
		t.Errorf("links of the machine: %q, before %q", now, links)
	}
	if now := rootMounts(t); now != mounts {
		t.Errorf("mounts of the machine: %q, before %q", now, mounts)
	}
	must(t, l.Down(ctx)) // a second down is no error
}

func TestDownFindsWhatAKilledUpLeft(t *testing.T) {
	ctx, l := story(t)
	// The process that brings the lab up is killed in the middle: here, a new
	// handle knows only what the record says.
	must(t, l.begin(ctx))
	r, err := l.Host("compute1")
	must(t, err)
	must(t, l.startHolder(ctx, r.HostRecord))
	again, err := New(ctx, l.Settings)
	must(t, err)
	again.Progress = t.Output()
	holder, err := (&Host{HostRecord: r.HostRecord, lab: again}).Process(processHolder)
	must(t, err)
	if !holder.Alive(ctx) {
		t.Fatal("the holder is not alive")
	}
	must(t, again.Down(ctx))
	if holder.Alive(ctx) {
		t.Error("the holder is alive after down")
	}
}

func TestProcessWithAReusedPIDIsNeverSignalled(t *testing.T) {
	ctx := t.Context()
	cmd := exec.Command("sleep", "1000")
	must(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	start, _, err := processStart(ctx, cmd.Process.Pid)
	must(t, err)
	other := Process{PID: cmd.Process.Pid, Start: start + 1}
	must(t, other.stop(ctx, 0))
	if !(Process{PID: cmd.Process.Pid, Start: start}).Alive(ctx) {
		t.Error("a process with another start time was killed")
	}
}

func TestOneCommandAtATimeChangesALab(t *testing.T) {
	ctx, l := story(t)
	must(t, os.MkdirAll(l.Dir, 0o755))
	unlock, err := l.lock(ctx)
	must(t, err)
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := l.lock(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second lock: %v, want to wait in vain", err)
	}
	unlock()
	unlock, err = l.lock(ctx)
	must(t, err)
	unlock()
}

func TestSwitchIsBackAfterItWasKilled(t *testing.T) {
	ctx, l := story(t)
	network1, compute1 := hosts(t, ctx, l)
	must(t, compute1.Kill(ctx, processVswitchd))
	must(t, compute1.Restart(ctx, processVswitchd))
	must(t, compute1.greet(ctx, network1.HostRecord))
	must(t, network1.greet(ctx, compute1.HostRecord))
}

func rootLinks(t *testing.T) string {
	t.Helper()
	b, err := exec.Command("ip", "-o", "-br", "link").Output()
	must(t, err)
	return string(b)
}

func rootMounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	return string(b)
}

// handWired connects compute1 and network1 by a GRE tunnel between bridges
// br-int made by hand, with dnsmasq on network1: what agents do, without them.
func handWired(t *testing.T, ctx context.Context, network1, compute1 *Host) {
	t.Helper()
	for _, pair := range [][2]*Host{{network1, compute1}, {compute1, network1}} {
		script(t, ctx, pair[0], `
			ovs-vsctl add-br br-int -- set Bridge br-int datapath_type=netdev \
				-- add-port br-int gre0 -- set Interface gre0 type=gre options:key=2 \
				options:local_ip=`+pair[0].Address.String()+` options:remote_ip=`+pair[1].Address.String())
	}
	script(t, ctx, network1, `
		ip netns add qdhcp
		ip link add tapdhcp type veth peer name nsdhcp netns qdhcp
		ip link set tapdhcp up
		ovs-vsctl add-port br-int tapdhcp
		ip netns exec qdhcp ethtool -K nsdhcp tx off >/dev/null
		ip -n qdhcp link set nsdhcp mtu 1458 up
		ip -n qdhcp addr add `+SeedDHCP+`/24 dev nsdhcp
		ip netns exec qdhcp dnsmasq --no-hosts --no-resolv --bind-interfaces --interface=nsdhcp --except-interface=lo \
			--leasefile-ro --pid-file --dhcp-range=10.1.0.0,static --dhcp-host=`+SeedMAC+`,`+SeedIP+` \
			--dhcp-option-force=26,1458 --dhcp-option=3,`+SeedGateway+` \
			--dhcp-option=121,192.0.2.128/25,10.1.0.9,0.0.0.0/0,`+SeedGateway)
	script(t, ctx, compute1, `
		ip tuntap add tap11111111-11 mode tap
		ip link add qbr0 type bridge
		ip link add qvb0 type veth peer name qvo0
		# The guest leaves checksums to its NIC; whoever feeds the switch fills them in.
		ethtool -K qvb0 tx off >/dev/null
		for device in tap11111111-11 qvb0; do ip link set $device master qbr0; done
		for device in tap11111111-11 qbr0 qvb0 qvo0; do ip link set $device mtu 1458 up; done
		ovs-vsctl add-port br-int qvo0`)
}

func script(t *testing.T, ctx context.Context, h *Host, text string) {
	t.Helper()
	_, err := h.Run(ctx, "sh", "-ec", text)
	must(t, err)
}

func TestVirtualMachineGetsItsLeaseAcrossAHandMadeTunnel(t *testing.T) {
	ctx, l := story(t)
	network1, compute1 := hosts(t, ctx, l)
	must(t, l.prepareImage(ctx))
	handWired(t, ctx, network1, compute1)
	g := &Guest{lab: l, host: compute1, Instance: Instance{
		Name: SeedVM, Kind: KindVM, Host: "compute1", UUID: "22222222-2222-4222-8222-222222222222",
		PortID: "11111111-1111-4111-8111-111111111111", MAC: SeedMAC, MTU: 1458, Address: SeedIP,
	}}
	began := time.Now()
	must(t, g.boot(ctx))
	lease, err := g.AwaitLease(ctx)
	must(t, err)
	t.Logf("lease after %.1f s: %+v", time.Since(began).Seconds(), lease)
	want := Lease{Address: SeedIP, Bits: 24, Server: SeedDHCP, MTU: 1458, Seconds: lease.Seconds,
		Routes: "192.0.2.128/25 10.1.0.9 0.0.0.0/0 " + SeedGateway, Router: SeedGateway, Domain: lease.Domain, DNS: lease.DNS}
	if lease != want {
		t.Errorf("lease %+v, want %+v", lease, want)
	}
	must(t, g.Ping(ctx, SeedDHCP))
	guestAnswers(t, ctx, g)
	for _, port := range []string{"7", "22", "23"} {
		out, err := network1.Run(ctx, "sh", "-c", "echo hello | ip netns exec qdhcp busybox nc -w 2 "+SeedIP+" "+port)
		if err != nil || out != "hello" {
			t.Errorf("port %s of the guest: %q (%v), want an echo", port, out, err)
		}
	}
	out, err := network1.Run(ctx, "sh", "-c",
		`printf 'GET / HTTP/1.0\r\n\r\n' | ip netns exec qdhcp busybox nc -w 5 `+SeedIP+` 80`)
	if err != nil || !strings.HasSuffix(out, "\n"+SeedVM) {
		t.Errorf("web server of the guest: %q (%v)", out, err)
	}
	must(t, g.powerOff(ctx))
	if g.Running(ctx) {
		t.Error("the machine runs after power off")
	}
}

// guestAnswers runs commands over the serial port.
func guestAnswers(t *testing.T, ctx context.Context, g *Guest) {
	t.Helper()
	out, err := g.Exec(ctx, "hostname; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; echo oops >&2; exit 3")
	must(t, err)
	if want := SeedVM + "\n" + SeedMAC + "\n1458\n"; out.Stdout != want || out.Stderr != "oops\n" || out.Code != 3 {
		t.Errorf("in the guest: %+v, want %q, oops, 3", out, want)
	}
	out, err = g.Exec(ctx, "ip route")
	must(t, err)
	for _, route := range []string{"default via 10.1.0.1 dev eth0", "192.0.2.128/25 via 10.1.0.9 dev eth0"} {
		if !strings.Contains(out.Stdout, route) {
			t.Errorf("routes of the guest: %q, want %q", out.Stdout, route)
		}
	}
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if _, err := g.Exec(short, "sleep 100"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command that takes too long: %v", err)
	}
	out, err = g.Exec(ctx, "echo still here")
	if err != nil || out.Stdout != "still here\n" {
		t.Errorf("after a command that took too long: %+v %v", out, err)
	}
}

func TestHolderRefusesTheMachinesOwnNamespace(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("SKIPPED: NOT ROOT.")
	}
	own, err := mountNamespace(t.Context())
	must(t, err)
	for _, outside := range []string{own, ""} {
		a := holdArgs{ID: "x", Host: "x", Dir: t.TempDir(), Outside: outside}
		if err := a.refuseOutside(t.Context()); err == nil {
			t.Errorf("with outside %q a host would be made of the machine itself", outside)
		}
	}
}
