package conntrack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/inside"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

const (
	router          = "qrouter-2d214fde"
	floating, other = "172.24.4.228", "172.24.4.229"
	gateway         = "172.24.4.227"
)

// cloud is a router's namespace with real NAT, three instances behind it and
// one host outside.
type cloud struct {
	t    *testing.T
	maps map[string]string // instance's address by floating IP
	hand *Translations
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	realtest.Root(t)
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	c := &cloud{t: t, maps: map[string]string{}, hand: NewTranslations(Options{})}
	t.Cleanup(func() { realtest.Run(t, "sh", "-c", "umount -l /run") })
	script := `ip netns add ` + router + `; ip netns add outside
		ip link add qg netns ` + router + ` type veth peer name eth0 netns outside
		ip -n ` + router + ` addr add ` + gateway + `/24 dev qg; ip -n outside addr add 172.24.4.1/24 dev eth0
		ip -n ` + router + ` link set qg up; ip -n outside link set eth0 up; ip -n ` + router + ` link set lo up
		ip netns exec ` + router + ` sysctl -qw net.ipv4.ip_forward=1
		ip netns exec ` + router + ` iptables -t nat -N fip; ip netns exec ` + router + ` iptables -t nat -A PREROUTING -j fip
		ip netns exec ` + router + ` iptables -t nat -N float-snat
		ip netns exec ` + router + ` iptables -t nat -A PREROUTING -i qr+ -d 169.254.169.254/32 -p tcp --dport 80 -j REDIRECT --to-ports 9697
		ip netns exec ` + router + ` iptables -t nat -A POSTROUTING -j float-snat
		ip netns exec ` + router + ` iptables -t nat -A POSTROUTING -o qg -j SNAT --to-source ` + gateway + `
		`
	for i := 1; i <= 3; i++ {
		script += fmt.Sprintf(`ip netns add vm%[1]d
		ip link add qr%[1]d netns %[2]s type veth peer name eth0 netns vm%[1]d
		ip -n %[2]s addr add 10.%[1]d.0.1/24 dev qr%[1]d; ip -n vm%[1]d addr add 10.%[1]d.0.2/24 dev eth0
		ip -n %[2]s link set qr%[1]d up; ip -n vm%[1]d link set eth0 up; ip -n vm%[1]d route add default via 10.%[1]d.0.1
		`, i, router)
	}
	realtest.Run(t, "sh", "-ec", script)
	for i := 1; i <= 3; i++ {
		c.serve(fmt.Sprintf("vm%d", i), ":7")
	}
	c.serve(router, ":9697")
	c.serve("outside", ":7")
	return c
}

func (c *cloud) in(namespace string, f func() error) {
	c.t.Helper()
	if err := inside.Namespace(filepath.Join("/run/netns", namespace), f); err != nil {
		c.t.Fatal(err)
	}
}

// serve answers each line and each datagram with the namespace's name.
func (c *cloud) serve(namespace, address string) {
	c.t.Helper()
	c.in(namespace, func() error {
		l, err := net.Listen("tcp4", address)
		if err != nil {
			return err
		}
		u, err := net.ListenPacket("udp4", address)
		if err != nil {
			return err
		}
		c.t.Cleanup(func() { _ = l.Close(); _ = u.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					for s := bufio.NewScanner(conn); s.Scan(); {
						_, _ = io.WriteString(conn, namespace+"\n")
					}
				}()
			}
		}()
		go func() {
			b := make([]byte, 64)
			for {
				_, from, err := u.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = u.WriteTo([]byte(namespace+"\n"), from)
			}
		}()
		return nil
	})
}

func (c *cloud) dial(namespace, protocol, address string) net.Conn {
	c.t.Helper()
	var conn net.Conn
	c.in(namespace, func() (err error) {
		d := net.Dialer{Timeout: 2 * time.Second}
		conn, err = d.Dial(protocol, address)
		return err
	})
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// says is who answers on a connection, "" for nobody in the time.
func says(conn net.Conn, patience time.Duration) string {
	b := make([]byte, 64)
	end := time.Now().Add(patience)
	for time.Now().Before(end) {
		_ = conn.SetDeadline(time.Now().Add(patience / 4))
		if _, err := io.WriteString(conn, "who\n"); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.ECONNREFUSED) {
			return ""
		}
		if n, err := conn.Read(b); err == nil {
			return strings.Fields(string(b[:n]))[0]
		}
	}
	return ""
}

// floats gives floating IPs to instances: the rules, the addresses, and then
// what may be tracked.
func (c *cloud) floats(maps map[string]string) reconcile.Result {
	c.t.Helper()
	rules := "*nat\n:fip - [0:0]\n:float-snat - [0:0]\n"
	t := host.Translation{Why: host.Why{Feature: "nat", Object: "router/2d214fde"}}
	for _, ip := range []string{floating, other} {
		verb := "del"
		if to := maps[ip]; to != "" {
			verb = "replace"
			rules += "-A fip -d " + ip + "/32 -j DNAT --to-destination " + to + "\n-A float-snat -o qg -s " + to + "/32 -j SNAT --to-source " + ip + "\n"
			t.DNAT += "\n" + ip + " " + to
			t.SNAT += "\n" + to + "/32 " + ip
		}
		defer realtest.Run(c.t, "sh", "-c", "ip -n "+router+" addr "+verb+" "+ip+"/32 dev qg || true")
	}
	t.DNAT, t.SNAT = strings.TrimPrefix(t.DNAT, "\n"), strings.TrimPrefix(t.SNAT+"\n0.0.0.0/0 "+gateway, "\n")
	realtest.Run(c.t, "sh", "-ec", "ip netns exec "+router+" iptables-restore -n <<'EOF'\n"+rules+"COMMIT\nEOF")
	c.maps = maps
	return c.translate(c.hand, map[string]host.Translation{router: t})
}

func (c *cloud) translate(h *Translations, want map[string]host.Translation) reconcile.Result {
	c.t.Helper()
	r := reconcile.Sync(c.t.Context(), []reconcile.Step[map[string]host.Translation]{
		&reconcile.Part[map[string]host.Translation, string, host.Translation]{Name: "translations", Hand: h, Same: SameTranslation,
			Want:   func(w map[string]host.Translation) map[string]host.Translation { return w },
			Object: func(t host.Translation) string { return t.Why.Object }},
	}, want)
	for _, p := range r.Problems {
		c.t.Fatalf("%s: %v", p.Object, p.Err)
	}
	return r
}

// tracked are the connections of the router's namespace, by their ends.
func (c *cloud) tracked() map[string]string {
	c.t.Helper()
	out := map[string]string{}
	c.in(router, func() error {
		entries, err := dump(c.t.Context(), func(uint16) bool { return true })
		for _, e := range entries {
			out[e.tuple.String()] = e.reply.String() + fmt.Sprintf(" id %x", e.id)
		}
		return err
	})
	return out
}

// ping sends an echo request with an identifier of its own from outside.
func (c *cloud) ping(to string) {
	c.t.Helper()
	c.in("outside", func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		echo := []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}
		return unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(to).To4())})
	})
}

func TestConnectionsFollowTheirFloatingIP(t *testing.T) {
	c := newCloud(t)
	c.floats(map[string]string{other: "10.3.0.2"})
	bystanders := []net.Conn{c.dial("outside", "tcp4", other+":7"), c.dial("outside", "udp4", other+":7"),
		c.dial("vm3", "tcp4", "172.24.4.1:7"), c.dial("vm2", "tcp4", "10.3.0.2:7"), c.dial("vm2", "tcp4", "169.254.169.254:80")}
	names := []string{"vm3", "vm3", "outside", "vm3", router}
	calm := func() {
		t.Helper()
		for i, b := range bystanders {
			if got := says(b, time.Second); got != names[i] {
				t.Fatalf("bystander %d hears %q, not %q", i, got, names[i])
			}
		}
	}
	calm()
	out := c.dial("vm1", "tcp4", "172.24.4.1:7")
	if got := says(out, time.Second); got != "outside" {
		t.Fatalf("out by the gateway: %q", got)
	}
	// Associate: what left by the gateway's address has to begin anew.
	c.floats(map[string]string{other: "10.3.0.2", floating: "10.1.0.2"})
	if got := says(out, time.Second); got != "" {
		t.Fatalf("the connection by the gateway's address goes on with %q", got)
	}
	tcp, udp := c.dial("outside", "tcp4", floating+":7"), c.dial("outside", "udp4", floating+":7")
	if a, b := says(tcp, time.Second), says(udp, time.Second); a != "vm1" || b != "vm1" {
		t.Fatalf("in: %q %q", a, b)
	}
	c.ping(floating)
	calm()
	// Move to another instance.
	before := c.tracked()
	c.floats(map[string]string{other: "10.3.0.2", floating: "10.2.0.2"})
	if a, b := says(tcp, time.Second), says(udp, time.Second); a != "" || b != "vm2" {
		t.Fatalf("after the move tcp hears %q and udp %q", a, b)
	}
	c.ping(floating)
	for orig, reply := range c.tracked() {
		if strings.Contains(orig, floating) && strings.Contains(reply, "10.1.0.2") {
			t.Errorf("still tracked: %s, %s", orig, reply)
		}
	}
	calm()
	// Disassociate.
	tcp = c.dial("outside", "tcp4", floating+":7")
	if got := says(tcp, time.Second); got != "vm2" {
		t.Fatalf("in: %q", got)
	}
	c.floats(map[string]string{other: "10.3.0.2"})
	if a, b := says(tcp, time.Second), says(udp, time.Second); a != "" || b != "" {
		t.Fatalf("after the end tcp hears %q and udp %q", a, b)
	}
	calm()
	after := c.tracked()
	for orig, reply := range before {
		if strings.Contains(orig, other) && strings.Contains(orig, "protocol 6") && after[orig] != reply {
			t.Errorf("a bystander's entry was made anew: %s", orig)
		}
	}
}

func TestAFreshHandDeletesNothingThatAgrees(t *testing.T) {
	c := newCloud(t)
	c.floats(map[string]string{floating: "10.1.0.2"})
	for _, conn := range []net.Conn{c.dial("outside", "udp4", floating+":7"), c.dial("vm2", "udp4", "172.24.4.1:7"),
		c.dial("vm1", "udp4", "172.24.4.1:7"), c.dial("vm1", "tcp4", "169.254.169.254:80"), c.dial("vm1", "udp4", "10.1.0.1:9697"),
		c.dial("outside", "udp4", gateway+":9697")} {
		if says(conn, 2*time.Second) == "" {
			t.Fatal("no answer")
		}
	}
	before := c.tracked()
	have, _ := c.hand.Read(t.Context())
	c.translate(NewTranslations(Options{}), have)
	after := c.tracked()
	for orig, reply := range before {
		if after[orig] != reply {
			t.Errorf("%s: %s became %q", orig, reply, after[orig])
		}
	}
	// An audit, and a fresh hand, find what agrees as it should be, and no more.
	fresh := NewTranslations(Options{})
	for _, h := range []*Translations{c.hand, fresh} {
		h.Expect(&host.State{Translations: have})
		h.Invalidate()
		if r := c.translate(h, have); r.Puts != 0 {
			t.Fatalf("looked again: %+v", r)
		}
	}
	moved := map[string]host.Translation{router: {DNAT: floating + " 10.3.0.2", SNAT: have[router].SNAT, Why: have[router].Why}}
	wrong := NewTranslations(Options{})
	wrong.Expect(&host.State{Translations: moved})
	if r := c.translate(wrong, moved); r.Puts != 1 {
		t.Fatalf("looked at what disagrees: %+v", r)
	}
	// Not knowing is enforcing again; a namespace without NAT keeps what is not NAT.
	c.hand.Expect(&host.State{})
	c.hand.Invalidate()
	if r := c.translate(c.hand, have); r.Puts != 1 {
		t.Fatalf("after Invalidate: %+v", r)
	}
	if says(c.dial("outside", "udp4", floating+":7"), 2*time.Second) == "" {
		t.Fatal("no answer")
	}
	c.translate(c.hand, nil)
	for orig, reply := range c.tracked() {
		if strings.Contains(orig, floating) || strings.Contains(reply, floating) {
			t.Errorf("still tracked: %s", orig)
		}
	}
	if left := len(c.tracked()); left == 0 {
		t.Error("what is no NAT was deleted too")
	}
	r := reconcile.Diff[string, host.Translation]{Put: map[string]host.Translation{"qrouter-none": {}}, Drop: map[string]host.Translation{"qrouter-gone": {}}}
	var absent *host.Absent
	if err := c.hand.Apply(t.Context(), r); !errors.As(err, &absent) || strings.Contains(err.Error(), "gone") {
		t.Errorf("namespaces that are not there: %v", err)
	}
}
