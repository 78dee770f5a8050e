package faults

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"neutrino/lab"
)

// openMain is "frames open PORT": it takes datagrams and connections on every
// address that its namespace has, and prints in hexadecimal what they bring.
func openMain(port string, out io.Writer) int {
	address := net.JoinHostPort("", port)
	datagrams, err := net.ListenPacket("udp", address)
	if err != nil {
		fmt.Fprintln(out, "error", err)
		return 1
	}
	streams, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(out, "error", err)
		return 1
	}
	fmt.Fprintln(out, "ready")
	go func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(out, hex.EncodeToString([]byte("connection from "+c.RemoteAddr().String())))
			c.Close()
		}
	}()
	buf := make([]byte, 65536)
	for {
		n, _, err := datagrams.ReadFrom(buf)
		if err != nil {
			return 1
		}
		fmt.Fprintln(out, hex.EncodeToString(buf[:n]))
	}
}

// scanTime is how long a connection may take to come about.
const scanTime = time.Second

// scanMain is "frames scan": it tries to connect to each address and port of
// its input, and prints those that answered, be it with a refusal.
func scanMain(in io.Reader, out io.Writer) int {
	text, err := io.ReadAll(in)
	if err != nil {
		fmt.Fprintln(out, "error", err)
		return 1
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, target := range strings.Fields(string(text)) {
		all.Go(func() {
			c, err := net.DialTimeout("tcp", target, scanTime)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				c.Close()
				fmt.Fprintln(out, target, "open")
			} else if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) {
				fmt.Fprintln(out, target, "refused")
			}
		})
	}
	all.Wait()
	return 0
}

// own are a host's addresses and the MACs of its devices.
type own struct {
	addresses []netip.Addr
	macs      []string
}

func (w *world) ownOf(h *lab.Host) own {
	w.Helper()
	var o own
	for _, text := range strings.Fields(w.sh(h, "ip -o address show | awk '{print $4}'")) {
		p, err := netip.ParsePrefix(text)
		w.must(err)
		if !p.Addr().IsLoopback() {
			o.addresses = append(o.addresses, p.Addr())
		}
	}
	for _, text := range strings.Fields(w.sh(h, "ip -o link show | sed -n 's/.*link.ether \\([0-9a-f:]*\\).*/\\1/p'")) {
		if !slices.Contains(o.macs, text) {
			o.macs = append(o.macs, text)
		}
	}
	return o
}

const openPort = 4096

// exposed are the hosts with a socket open on each, and all that there is to ask for.
type exposed struct {
	hosts   []*lab.Host
	ears    []*ear
	own     own      // of all hosts together
	targets []string // address:port
}

// expose opens a socket on every host, and finds their addresses.
func (w *world) expose(scanner *lab.Guest) exposed {
	w.Helper()
	x := exposed{hosts: []*lab.Host{w.compute, w.network, w.server}}
	for _, h := range x.hosts {
		x.ears = append(x.ears, w.listen(h.Command(w.ctx, testBinary(), framesCommand, "open", strconv.Itoa(openPort))))
		w.hearsItself(h, x.ears[len(x.ears)-1])
		o := w.ownOf(h)
		if len(o.addresses) == 0 || len(o.macs) == 0 {
			w.Fatalf("%s has the addresses %v and the MACs %v: there is nothing to scan", h.Name, o.addresses, o.macs)
		}
		for _, address := range o.addresses {
			zone := ""
			if address.IsLinkLocalUnicast() {
				zone = "%" + w.nic(scanner)
			}
			for _, number := range w.listening(h) {
				x.targets = append(x.targets, net.JoinHostPort(address.String()+zone, number))
			}
		}
		x.own.addresses, x.own.macs = append(x.own.addresses, o.addresses...), append(x.own.macs, o.macs...)
	}
	return x
}

// No address of a host answers an instance (OSSN-0069, OSSN-0018): not the
// underlay's, not a link-local one of a device that was made for the instance,
// whether it is asked through the router, on the wire, or by frames that name
// the MAC of a device of the host. Nor does a host that forwards lead to another.
func TestS30NoAddressOfAHostAnswersAnInstance(t *testing.T) {
	w := story(t)
	a, b, me, neighbour := w.spoofers()
	free := w.instance(lab.InstanceSpec{Name: "unfiltered", Network: a.NetworkID, Port: lab.Object{"port_security_enabled": false}})
	control := w.listen(b.Command(w.ctx, testBinary(), framesCommand, "open", strconv.Itoa(openPort)))
	const forwarding = "/proc/sys/net/ipv4/ip_forward"
	before := w.sh(w.compute, "cat "+forwarding)
	w.sh(w.compute, "echo 1 > "+forwarding)
	t.Cleanup(func() {
		_, err := w.compute.Run(context.Background(), "sh", "-c", "echo "+before+" > "+forwarding)
		w.late(err)
	})
	x := w.expose(a)
	x.targets = append(x.targets, net.JoinHostPort(neighbour.ip4, strconv.Itoa(openPort)))
	w.scan(a, "through the router", x.targets, neighbour)
	for _, address := range x.own.addresses {
		if !address.IsLinkLocalUnicast() {
			out, err := a.Command(w.ctx, "ip", "route", "add", address.String(), "dev", w.nic(a)).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	w.scan(a, "on the wire", x.targets, neighbour)
	w.knock(a, me, x, control, neighbour)
	w.knock(free, w.partyOf(free), x, control, neighbour)
}

// knock sends frames to every MAC of the hosts and to all stations, with
// datagrams for every address of the hosts, and wants none to arrive.
func (w *world) knock(from *lab.Guest, me party, x exposed, control *ear, neighbour party) {
	w.Helper()
	var frames [][]byte
	for _, address := range x.own.addresses {
		for _, mac := range append(x.own.macs, everybody, allNodes) {
			frames = append(frames, datagram(me, mac, address, markOf(len(frames))))
		}
	}
	n := len(frames)
	end := markOf(1<<14 + int(hardware(me.mac)[5])) // each sender's own
	frames = append(frames, datagram(me, neighbour.mac, netip.MustParseAddr(neighbour.ip4), end))
	w.send(from, w.nic(from), frames)
	w.until(repairTime, func() error {
		if control.heard(end) == 0 {
			return errors.New("the frame that ends the table has not arrived")
		}
		return nil
	})
	for i, h := range x.hosts {
		for m := range n {
			if x.ears[i].heard(markOf(m)) > 0 {
				w.Errorf("REACHED %s from %s: a frame to the MAC %s with the packet %x", h.Name, from.Name, net.HardwareAddr(frames[m][:6]), frames[m][14:])
			}
		}
	}
	w.Logf("%s: %d connections tried on each of two ways, %d frames", from.Name, len(x.targets), n)
}

// listening are the TCP ports of a host's own namespace where somebody listens.
func (w *world) listening(h *lab.Host) []string {
	w.Helper()
	ports := strings.Fields(w.sh(h, "ss -Hltn | awk '{print $4}' | sed 's/.*://' | sort -u"))
	if !slices.Contains(ports, strconv.Itoa(openPort)) {
		w.Fatalf("%s listens on %v only", h.Name, ports)
	}
	return ports
}

// datagram is a UDP datagram of an instance to an address, in a frame to a MAC.
func datagram(from party, mac string, to netip.Addr, m mark) []byte {
	ports := [2]uint16{4000, openPort}
	switch {
	case to.Is4():
		return ether(from.mac, mac, etherIPv4, udp(from.ip4, to.String(), ports, m))
	case to.IsLinkLocalUnicast():
		return ether(from.mac, mac, etherIPv6, udp(from.link, to.String(), ports, m))
	}
	return ether(from.mac, mac, etherIPv6, udp(from.ip6, to.String(), ports, m))
}

// hearsItself makes sure that the host's socket would tell of a datagram.
func (w *world) hearsItself(h *lab.Host, e *ear) {
	w.Helper()
	m := markOf(1 << 15)
	cmd := h.Command(w.ctx, testBinary(), framesCommand, "say", net.JoinHostPort(h.Address.String(), strconv.Itoa(openPort)))
	cmd.Stdin = strings.NewReader(string(m[:]))
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%s: %v: %s", h.Name, err, out)
	}
	w.until(repairTime, func() error {
		if e.heard(m) == 0 {
			return fmt.Errorf("the socket on %s does not hear the host itself", h.Name)
		}
		return nil
	})
}

// sayMain is "frames say ADDRESS": it sends its input as one datagram.
func sayMain(address string, in io.Reader, out io.Writer) int {
	text, err := io.ReadAll(in)
	if err == nil {
		var c net.Conn
		if c, err = net.Dial("udp", address); err == nil {
			_, err = c.Write(text)
		}
	}
	if err != nil {
		fmt.Fprintln(out, "error", err)
		return 1
	}
	return 0
}

// scan connects from an instance to everything, and wants the neighbour alone
// to answer: a scanner that finds nobody proves nothing.
func (w *world) scan(from *lab.Guest, way string, targets []string, neighbour party) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	cmd := from.Command(ctx, testBinary(), framesCommand, "scan", "-")
	cmd.Stdin = strings.NewReader(strings.Join(targets, "\n"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	w.must(err)
	control := net.JoinHostPort(neighbour.ip4, strconv.Itoa(openPort)) + " open"
	found := false
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line == control {
			found = true
		} else {
			w.Errorf("ANSWERED %s: %s", way, line)
		}
	}
	if !found {
		w.Errorf("%s: the scan did not find the neighbour's open port: %q", way, out)
	}
}
