package conntrack

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"neutrino/host"
	"neutrino/host/realtest"
)

// flood opens so many flows, each to a port of its own of an address on loopback.
func flood(t *testing.T, to string, n int) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range n {
		_, _ = c.WriteToUDP([]byte("x"), &net.UDPAddr{IP: net.ParseIP(to), Port: 10000 + i}) // a refusal of one before is no matter
	}
}

// limited are two ports in the zones 5001 and 5002, by the address that they send to.
func limited(t *testing.T, perPort int) *Limiter {
	t.Helper()
	realtest.Root(t)
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("NOT TESTED: iptables is not installed")
	}
	realtest.Run(t, "ip", "link", "set", "lo", "up")
	for zone, to := range map[string]string{"5001": "127.0.1.1", "5002": "127.0.1.2"} {
		rule := []string{"OUTPUT", "-d", to, "-j", "CT", "--zone", zone}
		realtest.Run(t, "iptables", append([]string{"-t", "raw", "-A"}, rule...)...)
		t.Cleanup(func() { realtest.Run(t, "iptables", append([]string{"-t", "raw", "-D"}, rule...)...) })
	}
	// What is tracked needs somebody who asks for it.
	state := []string{"INPUT", "-m", "state", "--state", "INVALID", "-j", "DROP"}
	realtest.Run(t, "iptables", append([]string{"-A"}, state...)...)
	t.Cleanup(func() { realtest.Run(t, "iptables", append([]string{"-D"}, state...)...) })
	l := NewLimiter(LimitOptions{PerPort: perPort, HostObject: "host"})
	s := host.NewState()
	s.Zones[5001] = host.Zone{Why: host.Why{Object: "port/loud"}}
	s.Zones[5002] = host.Zone{Why: host.Why{Object: "port/quiet"}}
	l.Expect(s)
	return l
}

func connections(t *testing.T, l *Limiter) map[string]int {
	t.Helper()
	tables, err := l.Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, u := range tables[0].Largest {
		out[u.Object] = u.Connections
	}
	return out
}

// One port opens many more flows than it may: it is brought back to its share and
// named, and the other port keeps what it has.
func TestOnePortDoesNotFillTheTable(t *testing.T) {
	l := limited(t, 200)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	flood(t, "127.0.1.2", 50)
	flood(t, "127.0.1.1", 3000)
	if have := connections(t, l); have["port/loud"] < 2000 || have["port/quiet"] != 50 {
		t.Fatalf("before: %v", have)
	}
	go func() { done <- l.Run(ctx) }()
	realtest.Eventually(t, "the port is back in its share", func() bool { return connections(t, l)["port/loud"] <= 200 })
	if have := connections(t, l); have["port/loud"] < 150 || have["port/quiet"] != 50 {
		t.Errorf("after: %v, want 200 and 50", have)
	}
	realtest.Eventually(t, "it is said", func() bool {
		f := l.Findings()
		return len(f) == 1 && f[0].Object == "port/loud" && strings.Contains(f[0].Reason, "200")
	})
	select {
	case <-l.Events():
	case <-time.After(10 * time.Second):
		t.Error("a new finding is no event")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A nearly full table is a finding of the host and names who takes most of it.
func TestANearlyFullTableIsSaid(t *testing.T) {
	l := limited(t, 0)
	flood(t, "127.0.1.1", 300)
	users, err := l.users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		table Table
		full  bool
	}{{Table{Count: 79, Max: 100}, false}, {Table{Count: 80, Max: 100}, true}, {Table{}, false}} {
		if nearlyFull(c.table) != c.full {
			t.Errorf("%+v: nearly full %v", c.table, !c.full)
		}
	}
	if got := l.reason(Table{Count: 90, Max: 100}, users); !strings.Contains(got, "nf_conntrack_max 100") || !strings.HasSuffix(got, "most of it is port/loud's") {
		t.Error(got)
	}
	tables, err := l.Tables(t.Context())
	if err != nil || len(tables) != 1 || tables[0].Max == 0 || tables[0].Count < 300 {
		t.Errorf("tables %+v, %v", tables, err)
	}
}
