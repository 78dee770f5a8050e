package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"neutrino"
)

// cloud is a whole lab with the real binary, brought up as a user does it.
func cloud(t *testing.T, s Settings) (context.Context, *Lab, *Result) {
	t.Helper()
	ctx, l := story(t)
	if testing.Short() {
		t.Skip("SKIPPED: -short. This test boots a whole cloud.")
	}
	binary := filepath.Join(t.TempDir(), "neutrino")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "../cmd/neutrino")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l.Binary = binary
	s = s.withDefaults()
	l.Settings.Binary, l.Computes, l.Networks, l.Type = binary, s.Computes, s.Networks, s.Type
	l.Settings.Uplink, l.Settings.Provider, l.Settings.Bare = s.Uplink, s.Provider, s.Bare
	l.began = time.Now()
	result, err := l.Up(ctx, UpOptions{})
	must(t, err)
	return ctx, l, result
}

func TestSeedsCloudComesUpAndIsProvenByTraffic(t *testing.T) {
	ctx, l, result := cloud(t, Settings{Computes: 1, Type: neutrino.GRE})
	if len(result.Proofs) != 6 || result.Already {
		t.Errorf("result %+v, want six proofs of a new lab", result)
	}
	if limit := 30.0; result.Seconds > limit {
		t.Errorf("up took %.1f s, want at most %.0f", result.Seconds, limit)
	}
	vm, err := l.Guest(SeedVM)
	must(t, err)
	if vm.Address != SeedIP || vm.MAC != SeedMAC {
		t.Errorf("the VM has %s %s, want the seed's %s %s", vm.Address, vm.MAC, SeedIP, SeedMAC)
	}
	must(t, vm.AwaitActive(ctx))
	again, err := l.Up(ctx, UpOptions{})
	if err != nil || !again.Already {
		t.Errorf("second up: %+v %v, want to find the running lab", again, err)
	}
	_, err = l.Scenario(ctx) // nothing is made twice
	must(t, err)
	must(t, l.PublicScenario(ctx, vm.PortID))
	for collection, want := range map[string]int{"networks": 2, "subnets": 2, "routers": 1, "floatingips": 1} {
		found, err := l.Client().List(ctx, collection, nil)
		if err != nil || len(found) != want {
			t.Errorf("%s after a second scenario: %d (%v), want %d", collection, len(found), err, want)
		}
	}
	lightInstance(t, ctx, l, vm)
	onlyRulesOpenPorts(t, ctx, l, vm)
	survivesKills(t, ctx, l, vm)
	s := l.Status(ctx)
	if !s.Up || s.API != "ok" || len(s.Hosts) != 4 || len(s.Agents) != 5 || len(s.Instances) != 1 {
		t.Errorf("status %+v", s)
	}
}

// lightInstance adds a namespace as an instance, lets the VM and it talk, and
// removes it again.
func lightInstance(t *testing.T, ctx context.Context, l *Lab, vm *Guest) {
	t.Helper()
	g, err := l.AddInstance(ctx, InstanceSpec{Name: "ns1", Kind: KindNamespace})
	must(t, err)
	must(t, g.AwaitActive(ctx))
	lease, err := g.AwaitLease(ctx)
	must(t, err)
	if lease.Address != g.Address || lease.MTU != g.MTU {
		t.Errorf("lease %+v, want the port's address %s and mtu %d", lease, g.Address, g.MTU)
	}
	must(t, g.Ping(ctx, vm.Address))
	must(t, g.Connect(ctx, vm.Address, 22))
	must(t, g.Connect(ctx, vm.Address, 80))
	must(t, g.Connect(ctx, vm.Address, 23)) // members of a default group reach each other
	must(t, l.RemoveInstance(ctx, "ns1"))
	host, err := l.Host("compute1")
	must(t, err)
	links, err := host.Run(ctx, "ls", "/sys/class/net")
	must(t, err)
	if strings.Contains(links, g.PortID[:11]) {
		t.Errorf("devices of a removed instance: %s", links)
	}
}

// onlyRulesOpenPorts tries the VM's ports from the DHCP server's namespace,
// which is in no security group.
func onlyRulesOpenPorts(t *testing.T, ctx context.Context, l *Lab, vm *Guest) {
	t.Helper()
	h, err := l.Host("network1")
	must(t, err)
	for port, open := range map[string]bool{"22": true, "80": true, "23": false} {
		_, err := h.Run(ctx, "ip", "netns", "exec", "qdhcp-"+vm.NetworkID, "busybox", "nc", "-w", "1", vm.Address, port, "-e", "true")
		if (err == nil) != open {
			t.Errorf("port %s of the VM: %v, open should be %v", port, err, open)
		}
	}
}

// survivesKills kills server and agent and starts them again.
func survivesKills(t *testing.T, ctx context.Context, l *Lab, vm *Guest) {
	t.Helper()
	for host, process := range map[string]string{RoleController: processServer, "compute1": processAgent} {
		h, err := l.Host(host)
		must(t, err)
		must(t, h.Kill(ctx, process))
		must(t, vm.Ping(ctx, SeedDHCP))
		must(t, h.Restart(ctx, process))
	}
	wait, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	must(t, poll(wait, 50*time.Millisecond, func() error { return vm.active(wait) }))
	must(t, vm.Ping(ctx, SeedDHCP))
}

func TestTwoComputesOverVXLANInALabOfTheirOwn(t *testing.T) {
	ctx, l, _ := cloud(t, Settings{Computes: 2, Type: neutrino.VXLAN})
	g, err := l.AddInstance(ctx, InstanceSpec{Name: "far", Kind: KindNamespace, Host: "compute2"})
	must(t, err)
	must(t, g.AwaitActive(ctx))
	_, err = g.AwaitLease(ctx)
	must(t, err)
	must(t, poll(ctx, 100*time.Millisecond, func() error { return g.Ping(ctx, SeedIP) }))
	h, err := l.Host("compute2")
	must(t, err)
	ports, err := h.Run(ctx, "ovs-vsctl", "list-ports", "br-tun")
	must(t, err)
	if !slices.Contains(strings.Fields(ports), "vxlan-c0000215") { // 192.0.2.21
		t.Errorf("ports of br-tun: %q, want a tunnel to compute1", ports)
	}
}

func TestBareLabHasInstancesAndDHCPAlone(t *testing.T) {
	ctx, l, result := cloud(t, Settings{Bare: true})
	if len(result.Proofs) != 2 {
		t.Errorf("proofs %+v, want two", result.Proofs)
	}
	if _, err := l.Host(outsideHost); !errors.Is(err, ErrNoHost) {
		t.Errorf("a bare lab has an outside: %v", err)
	}
	h, err := l.Host("network1")
	must(t, err)
	if _, err := h.Run(ctx, "ovs-vsctl", "br-exists", ProviderBridge); err == nil {
		t.Errorf("a bare lab has %s", ProviderBridge)
	}
}

// The seed's other way out, and the change to the first while the lab runs.
func TestUplinkIsTheHostsAddressOrItsNIC(t *testing.T) {
	ctx, l, _ := cloud(t, Settings{Uplink: UplinkNAT})
	vm, err := l.Guest(SeedVM)
	must(t, err)
	sees := func(want string) {
		t.Helper()
		must(t, poll(ctx, 100*time.Millisecond, func() error {
			got, err := vm.output(ctx, Fetch("http://"+OutsideFar+SourcePage))
			if err == nil && got != want {
				err = fmt.Errorf("the outside sees %s, want %s", got, want)
			}
			return err
		}))
	}
	sees(hostTransit)
	must(t, l.SetUplink(ctx, UplinkNIC))
	sees(SeedFloatingIP)
	h, err := l.Host("network1")
	must(t, err)
	rules, err := h.Run(ctx, "iptables", "-t", "nat", "-S")
	if err != nil || strings.Contains(rules, "MASQUERADE") {
		t.Errorf("with a NIC on the bridge the host has %q (%v)", rules, err)
	}
	must(t, l.SetUplink(ctx, UplinkNAT))
	sees(hostTransit)
}

func TestUpThatFailsSaysWhyAndStopsEverything(t *testing.T) {
	ctx, l := story(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	must(t, l.begin(ctx))
	must(t, l.record(ctx, func(st *state) { st.APIPort = taken.Addr().(*net.TCPAddr).Port }))
	must(t, l.makeHosts(ctx))
	processes := l.snapshot().Processes
	cause := l.startServices(ctx)
	if cause == nil || !strings.Contains(cause.Error(), "--api-port") {
		t.Errorf("error %v, want a hint at --api-port", cause)
	}
	if err := l.giveUp(ctx, UpOptions{}, cause); err != cause {
		t.Errorf("giving up: %v, want the cause", err)
	}
	for _, p := range processes {
		if p.Alive(ctx) {
			t.Errorf("%s of %s runs after a failed up", p.Name, p.Host)
		}
	}
}
