package check

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"neutrino/lab"
)

// outboundJourney sees one request of the VM in order at each letter.
func outboundJourney(ctx context.Context, c *Cloud) (string, error) {
	points := []point{
		{"compute", "tap$p11", "icmp[icmptype] = 8 and src host $ip"}, {"compute", "qvb$p11", "icmp[icmptype] = 8 and src host $ip"},
		{"compute", "qvo$p11", "icmp[icmptype] = 8 and src host $ip"}, {"compute", "eth0", c.encapsulated() + " and src host $clocal"},
	}
	return c.journey(ctx, points, func(ctx context.Context) error { return c.inGuest(ctx, c.expand("ping -c 1 -W 2 $dip")) })
}

// arrival sees it again on the network host.
func arrival(ctx context.Context, c *Cloud) (string, error) {
	points := []point{
		{"network", "eth0", c.encapsulated() + " and src host $clocal"}, {"network", "tap$d11", "icmp[icmptype] = 8 and src host $ip"},
	}
	return c.journey(ctx, points, func(ctx context.Context) error { return c.inGuest(ctx, c.expand("ping -c 1 -W 2 $dip")) })
}

// journey captures at every point while one packet is sent, and wants it at
// each, one after the other in time.
func (c *Cloud) journey(ctx context.Context, points []point, send func(context.Context) error) (string, error) {
	var captures []*capture
	var stopped [][]string
	stop := func() {
		for _, p := range captures {
			stopped = append(stopped, p.stop())
		}
		captures = nil
	}
	defer stop()
	for _, p := range points {
		k, err := c.capture(ctx, p)
		if err != nil {
			return "", err
		}
		captures = append(captures, k)
	}
	if err := send(ctx); err != nil {
		return "", err
	}
	stop()
	var seen []string
	previous := ""
	for i, lines := range stopped {
		device := c.expand(points[i].device)
		line := echo(lines)
		if line == "" {
			return strings.Join(seen, " → "), fmt.Errorf("not seen on %s", device)
		}
		at, _, _ := strings.Cut(line, " ")
		if at < previous {
			return strings.Join(seen, " → "), fmt.Errorf("seen on %s at %s, before the one before it", device, at)
		}
		previous = at
		seen = append(seen, device+" "+at)
	}
	return strings.Join(seen, " → "), nil
}

// echo is the first captured line with an echo request in it.
func echo(lines []string) string {
	for _, l := range lines {
		if strings.Contains(l, "ICMP echo request") {
			return l
		}
	}
	return ""
}

// request is the filter for the VM's echo request, before and after the
// router's translation.
const (
	requestInside  = "icmp[icmptype] = 8 and src host $ip"
	requestOutside = "icmp[icmptype] = 8 and src host $fip"
)

// outwardPoints are what a request to the outside passes on the router's host:
// M, N, K and L of the seed's map.
var outwardPoints = []point{
	{"router", "tap$r11", requestInside}, {"router/$rns", "qr-$r11", requestInside},
	{"router/$rns", "qg-$g11", requestOutside}, {"router", "tap$g11", requestOutside}, {"router", "eth1", requestOutside},
}

func northSouth(ctx context.Context, c *Cloud) (string, error) {
	if err := c.uplink(ctx, lab.UplinkNIC); err != nil {
		return "", err
	}
	seen, err := c.journey(ctx, outwardPoints, func(ctx context.Context) error { return c.inGuest(ctx, "ping -c 1 -W 2 $far") })
	return seen + "; the reply came back", err
}

// everyLetter follows one request of the VM to the outside and one to its DHCP
// server. Inside Open vSwitch a packet passes bridges and patch ports in one
// step and no device: there the letters are the ports' counters, and
// ofproto/trace says their order.
func everyLetter(ctx context.Context, c *Cloud) (string, error) {
	if err := c.uplink(ctx, lab.UplinkNIC); err != nil {
		return "", err
	}
	before, err := c.patches(ctx)
	if err != nil {
		return "", err
	}
	points := append([]point{
		{"compute", "tap$p11", requestInside}, {"compute", "qbr$p11", requestInside}, {"compute", "qvb$p11", requestInside},
		{"compute", "qvo$p11", requestInside}, {"compute", "eth0", c.encapsulated() + " and src host $clocal"},
		{"router", "eth0", c.encapsulated() + " and src host $clocal"},
	}, outwardPoints...)
	eth0 := ""
	seen, err := c.journey(ctx, points, func(ctx context.Context) (err error) {
		eth0, err = c.recorded(ctx, "$rmac", func(ctx context.Context) error { return c.inGuest(ctx, "ping -c 1 -W 2 $far") })
		return err
	})
	if err != nil {
		return seen, err
	}
	last, err := c.journey(ctx, []point{
		{"network", "tap$d11", requestInside}, {"network/$ns", "ns-$d11", requestInside},
	}, func(ctx context.Context) error { return c.inGuest(ctx, "ping -c 1 -W 2 $dip") })
	if err != nil {
		return last, err
	}
	if err := c.switched(ctx, before); err != nil {
		return seen, err
	}
	return eth0 + " → " + seen + " → " + last + "; E F I J counted and traced", nil
}

// recorded returns the frame with an echo request that the VM's own NIC sent to
// a MAC while an action ran (A).
func (c *Cloud) recorded(ctx context.Context, to string, action func(context.Context) error) (string, error) {
	file := filepath.Join(c.compute.Dir(), "eth0.pcap")
	stop, err := c.guest.Record(ctx, file)
	if err != nil {
		return "", err
	}
	err = errors.Join(action(ctx), stop(context.WithoutCancel(ctx)))
	if err != nil {
		return "", err
	}
	frames, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	header, err := hex.DecodeString(strings.ReplaceAll(c.expand(to)+c.vars["mac"]+"0800", ":", ""))
	if err != nil {
		return "", err
	}
	const icmpType = 14 + 20 // behind the Ethernet and the IPv4 header
	for rest := frames; ; {
		i := bytes.Index(rest, header)
		if i < 0 || i+icmpType >= len(rest) {
			return "", errors.New("the VM's eth0 sent no echo request")
		}
		if rest = rest[i:]; rest[icmpType] == 8 {
			return "eth0 of the VM, " + c.vars["mac"] + " > " + c.expand(to), os.Remove(file)
		}
		rest = rest[len(header):]
	}
}

// patch is a patch port as one of the map's letters.
type patch struct{ letter, on, bridge, port, counter string }

var patchLetters = []patch{
	{"E", "compute", "br-int", "patch-tun", "tx"}, {"F", "compute", "br-tun", "patch-int", "rx"},
	{"I", "router", "br-tun", "patch-int", "tx"}, {"J", "router", "br-int", "patch-tun", "rx"},
}

// patches reads the counters of the patch ports.
func (c *Cloud) patches(ctx context.Context) ([]int, error) {
	counts := make([]int, len(patchLetters))
	for i, p := range patchLetters {
		out, err := c.sh(ctx, p.on, "ovs-ofctl dump-ports "+p.bridge+" "+p.port)
		if err != nil {
			return nil, err
		}
		m := regexp.MustCompile(p.counter + ` pkts=(\d+)`).FindStringSubmatch(out)
		if m == nil {
			return nil, fmt.Errorf("no counter of %s in %q", p.port, out)
		}
		if counts[i], err = strconv.Atoi(m[1]); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// switched wants the patch ports to have counted, and the traces of both hosts
// to name the bridges in order.
func (c *Cloud) switched(ctx context.Context, before []int) error {
	err := until(ctx, patience, func(ctx context.Context) error { // the switch gathers its counters each second
		now, err := c.patches(ctx)
		for i := range now {
			if now[i] <= before[i] {
				err = errors.Join(err, fmt.Errorf("%s: the counter of %s does not rise", patchLetters[i].letter, patchLetters[i].port))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	const packet = "dl_src=$mac,dl_dst=$rmac,icmp,nw_src=$ip,nw_dst=$far,nw_ttl=64,icmp_type=8"
	out, err := c.sh(ctx, "compute", "ovs-appctl ofproto/trace --names br-int in_port=qvo$p11,"+packet)
	if err == nil {
		err = inOrder(`bridge("br-int")`, `bridge("br-tun")`, "$torouter")(c, out)
	}
	if err != nil {
		return fmt.Errorf("E, F: %w: %s", err, brief(out))
	}
	out, err = c.sh(ctx, "router", "ovs-appctl ofproto/trace --names br-tun in_port=$tocom,tun_id=$key,"+packet)
	if err == nil {
		err = inOrder(`bridge("br-tun")`, `bridge("br-int")`, "tap$r11")(c, out)
	}
	if err != nil {
		return fmt.Errorf("I, J: %w: %s", err, brief(out))
	}
	return nil
}
