package faults

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/lab"
)

// framesCommand makes the test binary a sender or a listener of raw frames, to
// run inside a namespace: "frames send DEVICE" sends each line of its input,
// "frames listen DEVICE" prints what arrives, both in hexadecimal. The other
// words are sockets, see [openMain], [scanMain] and [sayMain], and a store's rows,
// see [storeMain].
const framesCommand = "frames"

func framesMain(args []string, in io.Reader, out io.Writer) int {
	if len(args) != 2 {
		return 2
	}
	switch args[0] {
	case "open":
		return openMain(args[1], out)
	case "scan":
		return scanMain(in, out)
	case "say":
		return sayMain(args[1], in, out)
	case "lose", "find":
		return storeMain(args, in, out)
	}
	fd, index, err := packetSocket(args[1])
	if err != nil {
		fmt.Fprintln(out, "error", err)
		return 1
	}
	if args[0] == "listen" {
		return listenFrames(fd, out)
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		frame, err := hex.DecodeString(lines.Text())
		if err == nil {
			err = unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index})
		}
		if err != nil {
			fmt.Fprintln(out, "error", err)
			return 1
		}
		time.Sleep(2 * time.Millisecond) // so that no queue on the way overflows
	}
	return 0
}

// packetSocket hears all frames of a device, also those for others.
func packetSocket(device string) (fd, index int, err error) {
	nic, err := net.InterfaceByName(device)
	if err != nil {
		return 0, 0, err
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(all))
	if err != nil {
		return 0, 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: nic.Index}); err != nil {
		return 0, 0, err
	}
	member := unix.PacketMreq{Ifindex: int32(nic.Index), Type: unix.PACKET_MR_PROMISC}
	return fd, nic.Index, unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member)
}

func listenFrames(fd int, out io.Writer) int {
	fmt.Fprintln(out, "ready")
	buf := make([]byte, 65536)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 1
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING {
			fmt.Fprintln(out, hex.EncodeToString(buf[:n]))
		}
	}
}

// ear is a listener beside a story.
type ear struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	got []string
}

// listen starts a listener with a command that runs inside its namespace.
func (w *world) listen(cmd *exec.Cmd) *ear {
	w.Helper()
	e := &ear{cmd: cmd}
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	w.Cleanup(func() {
		_ = cmd.Process.Kill() // it never ends by itself
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() || lines.Text() != "ready" {
		w.Fatalf("listener: %q", lines.Text())
	}
	go func() {
		for lines.Scan() {
			e.mu.Lock()
			e.got = append(e.got, lines.Text())
			e.mu.Unlock()
		}
	}()
	return e
}

// heard counts the frames with a mark.
func (e *ear) heard(m mark) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, text := 0, hex.EncodeToString(m[:])
	for _, f := range e.got {
		if strings.Contains(f, text) {
			n++
		}
	}
	return n
}

// send sends frames from an instance.
func (w *world) send(g *lab.Guest, device string, frames [][]byte) {
	w.Helper()
	w.emit(g.Command(w.ctx, testBinary(), framesCommand, "send", device), frames)
}

// emit sends frames with a sender that runs inside its namespace.
func (w *world) emit(cmd *exec.Cmd, frames [][]byte) {
	w.Helper()
	var text strings.Builder
	for _, f := range frames {
		text.WriteString(hex.EncodeToString(f) + "\n")
	}
	cmd.Stdin = strings.NewReader(text.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("send: %v: %s", err, out)
	}
}

// mark is what makes a frame recognisable wherever it comes out.
type mark [6]byte

func markOf(n int) mark {
	m := mark{0xfa, 0x17, 0x5e}
	binary.BigEndian.PutUint16(m[4:], uint16(n))
	return m
}

func hardware(s string) net.HardwareAddr {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

// The EtherTypes and protocols of the frames.
const (
	etherIPv4, etherARP, etherIPv6, etherVLAN, etherTest = 0x0800, 0x0806, 0x86dd, 0x8100, 0x88b5
	protoUDP, protoICMPv6                                = 17, 58
)

func ether(src, dst string, kind uint16, payload []byte) []byte {
	f := append(append([]byte{}, hardware(dst)...), hardware(src)...)
	f = append(binary.BigEndian.AppendUint16(f, kind), payload...)
	for len(f) < 60 {
		f = append(f, 0)
	}
	return f
}

// tagged puts a VLAN tag into a frame.
func tagged(frame []byte, vlan uint16) []byte {
	tag := binary.BigEndian.AppendUint16([]byte{etherVLAN >> 8, etherVLAN & 0xff}, vlan)
	return append(append(append([]byte{}, frame[:12]...), tag...), frame[12:]...)
}

func sum(data []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(data); i += 2 {
		s += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	if len(data)%2 == 1 {
		s += uint32(data[len(data)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// transport is the checksum with the pseudo header of either family.
func transport(src, dst netip.Addr, proto byte, data []byte) uint16 {
	p := append(append([]byte{}, src.AsSlice()...), dst.AsSlice()...)
	p = binary.BigEndian.AppendUint32(p, uint32(len(data)))
	p = append(p, 0, 0, 0, proto)
	return sum(append(p, data...))
}

// packet is an IP packet of either family around a payload.
func packet(src, dst string, proto byte, data []byte) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	if s.Is4() {
		h := make([]byte, 20)
		h[0], h[8], h[9] = 0x45, 255, proto
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(data)))
		copy(h[12:], s.AsSlice())
		copy(h[16:], d.AsSlice())
		binary.BigEndian.PutUint16(h[10:], sum(h))
		return append(h, data...)
	}
	h := make([]byte, 8, 40+len(data))
	h[0], h[6], h[7] = 0x60, proto, 255
	binary.BigEndian.PutUint16(h[4:], uint16(len(data)))
	return append(append(append(h, s.AsSlice()...), d.AsSlice()...), data...)
}

func udp(src, dst string, ports [2]uint16, m mark) []byte {
	u := binary.BigEndian.AppendUint16(nil, ports[0])
	u = binary.BigEndian.AppendUint16(u, ports[1])
	u = binary.BigEndian.AppendUint16(u, uint16(8+len(m)))
	u = append(append(u, 0, 0), m[:]...)
	binary.BigEndian.PutUint16(u[6:], transport(netip.MustParseAddr(src), netip.MustParseAddr(dst), protoUDP, u))
	return packet(src, dst, protoUDP, u)
}

// icmp6 is an ICMPv6 message; its checksum is filled in.
func icmp6(src, dst string, kind byte, body []byte) []byte {
	b := append([]byte{kind, 0, 0, 0}, body...)
	binary.BigEndian.PutUint16(b[2:], transport(netip.MustParseAddr(src), netip.MustParseAddr(dst), protoICMPv6, b))
	return packet(src, dst, protoICMPv6, b)
}

// nonce is a neighbour discovery option (RFC 3971) that carries the mark.
func nonce(m mark) []byte { return append([]byte{14, 1}, m[:]...) }

// advertisement is a neighbour advertisement for a target, with the target's
// link-layer address unless that is "".
func advertisement(target, tll string, m mark) []byte {
	b := append([]byte{0x20, 0, 0, 0}, netip.MustParseAddr(target).AsSlice()...)
	if tll != "" {
		b = append(append(b, 2, 1), hardware(tll)...)
	}
	return append(b, nonce(m)...)
}

// routerAdvertisement says that its sender is a router, and that hosts make
// addresses of their own in a prefix of 64 bits (RFC 4861, 4.2 and 4.6.2).
func routerAdvertisement(mac string, prefix netip.Addr) []byte {
	const seconds = 1800 // of the router, the prefix and its addresses
	b := binary.BigEndian.AppendUint16([]byte{64, 0}, seconds)
	b = append(append(b, make([]byte, 8)...), 1, 1)
	b = append(append(b, hardware(mac)...), 3, 4, 64, 0xc0)
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, seconds), seconds)
	return append(append(b, 0, 0, 0, 0), prefix.AsSlice()...)
}

// arp is an ARP message with the mark in the frame's padding.
func arp(op uint16, sha, spa, tpa string, m mark) []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, op)
	b = append(append(b, hardware(sha)...), netip.MustParseAddr(spa).AsSlice()...)
	b = append(append(b, make([]byte, 6)...), netip.MustParseAddr(tpa).AsSlice()...)
	return append(b, m[:]...)
}
