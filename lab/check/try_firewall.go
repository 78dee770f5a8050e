package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"neutrino/lab"
)

// forgedMAC lets the VM send with a foreign MAC: its spoof chain counts the
// packet, and nothing reaches the integration bridge.
func forgedMAC(ctx context.Context, c *Cloud) (string, error) {
	before, err := c.counter(ctx, "$X-s$p10", "DROP")
	if err != nil {
		return "", err
	}
	seen, err := c.seenOn(ctx, point{"compute", "qvo$p11", "ether src fa:16:3e:66:66:66 and ip"}, func(ctx context.Context) error {
		return c.inGuest(ctx, c.expand("ip link set eth0 address fa:16:3e:66:66:66; arp -s $dip $dmac; "+
			"ping -c 2 -W 1 $dip; arp -d $dip; ip link set eth0 address $mac; true"))
	})
	if err != nil {
		return "", err
	}
	after, err := c.counter(ctx, "$X-s$p10", "DROP")
	if err == nil && (after <= before || len(seen) > 0) {
		err = errors.New("the forged frame was not stopped at the tap")
	}
	return fmt.Sprintf("DROP counter %d → %d, %d such frames on qvo", before, after, len(seen)), err
}

// forgedIP lets the VM send from a foreign address: stopped, until the port
// has it as an allowed address pair.
func forgedIP(ctx context.Context, c *Cloud) (seen string, err error) {
	send := func(ctx context.Context) error {
		return c.inGuest(ctx, c.expand("ip addr add 10.1.0.77/24 dev eth0; ping -c 1 -W 1 -I 10.1.0.77 $dip; ip addr del 10.1.0.77/24 dev eth0; true"))
	}
	at := point{"compute", "qvo$p11", "icmp and src host 10.1.0.77"}
	stopped, err := c.seenOn(ctx, at, send)
	if err != nil {
		return "", err
	}
	if len(stopped) > 0 {
		return stopped[0], errors.New("a packet from a foreign address reached qvo")
	}
	pairs := func(ctx context.Context, list []lab.Object) error {
		_, err := c.lab.Client().Update(ctx, "ports/"+c.guest.PortID, lab.Object{"allowed_address_pairs": list})
		return err
	}
	if err := pairs(ctx, []lab.Object{{"ip_address": "10.1.0.77"}}); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, pairs(context.WithoutCancel(ctx), []lab.Object{})) }()
	if seen, err = c.expect(ctx, "compute", "iptables -S $X-s$p10", has("-s 10.1.0.77/32")); err != nil {
		return seen, err
	}
	passed, err := c.seenOn(ctx, at, send)
	if err == nil && len(passed) == 0 {
		err = errors.New("the allowed pair does not pass")
	}
	return fmt.Sprintf("foreign: 0 on qvo; allowed: %d on qvo", len(passed)), err
}

// rogueDHCPServer runs a DHCP server in the VM, lets questions in to it, and
// has another instance ask: the VM's answers end at its tap.
func rogueDHCPServer(ctx context.Context, c *Cloud) (seen string, err error) {
	group, err := c.group(ctx)
	if err != nil {
		return "", err
	}
	rule, err := c.lab.Client().Create(ctx, "security-group-rules", lab.Object{"security_group_id": group, "direction": "ingress",
		"protocol": "udp", "port_range_min": 67, "port_range_max": 67})
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, c.lab.Client().Delete(context.WithoutCancel(ctx), "security-group-rules", rule.ID()))
	}()
	if _, err := c.expect(ctx, "compute", "iptables -S $X-i$p10", has("--dport 67 -j RETURN")); err != nil {
		return "", err
	}
	before, err := c.counter(ctx, "$X-o$p10", "udp spt:67 dpt:68")
	if err != nil {
		return "", err
	}
	start := "printf 'start 10.1.0.200\nend 10.1.0.210\ninterface eth0\nlease_file /tmp/leases\n' > /tmp/udhcpd.conf; touch /tmp/leases; " +
		"(udhcpd -f /tmp/udhcpd.conf >/dev/null 2>&1 &)"
	if err := c.inGuest(ctx, start); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.inGuest(context.WithoutCancel(ctx), "killall udhcpd")) }()
	var lease lab.Lease
	after := before
	frames, err := c.seenOn(ctx, point{"compute", "qvo$p11", "udp src port 67 and src host $ip"}, func(ctx context.Context) error {
		if _, lease, err = c.instance(ctx, lab.InstanceSpec{Name: "asker", Host: c.network.Name, Network: c.guest.NetworkID}); err != nil {
			return err
		}
		return until(ctx, patience, func(ctx context.Context) error { // it probes an address for seconds before it offers it
			if after, err = c.counter(ctx, "$X-o$p10", "udp spt:67 dpt:68"); err == nil && after <= before {
				err = errors.New("no answer of the VM was counted")
			}
			return err
		})
	})
	if err != nil {
		return fmt.Sprintf("DROP counter %d → %d", before, after), err
	}
	if len(frames) > 0 || lease.Server != c.vars["dip"] {
		err = errors.New("a DHCP server in the VM was not stopped at its tap")
	}
	return fmt.Sprintf("DROP counter %d → %d, %d answers on qvo, lease from %s", before, after, len(frames), lease.Server),
		errors.Join(err, c.remove(ctx, "asker"))
}

// egress are the rules that let the VM out.
var egress = lab.Query{"direction": "egress", "ethertype": "IPv4"}

func leaseWithoutEgressRules(ctx context.Context, c *Cloud) (seen string, err error) {
	err = c.withoutRules(ctx, egress, func(ctx context.Context) error {
		if _, err := c.expect(ctx, "compute", "iptables -S $X-o$p10", without("-A $X-o$p10 -j RETURN\n")); err != nil {
			return err
		}
		out, err := c.sh(ctx, "guest", "udhcpc -f -n -q -t 5 -T 1 -i eth0 -s /bin/true 2>&1 | tail -1")
		seen = out
		if err == nil {
			err = has("lease of $ip obtained")(c, out)
		}
		return err
	})
	return seen, err
}

func establishedWithoutEgressRules(ctx context.Context, c *Cloud) (seen string, err error) {
	s, err := c.stream(ctx, 22)
	if err != nil {
		return "", err
	}
	defer s.stop()
	err = c.withoutRules(ctx, egress, func(ctx context.Context) error {
		if _, err := c.expect(ctx, "compute", "iptables -S $X-o$p10", without("-A $X-o$p10 -j RETURN\n")); err != nil {
			return err
		}
		before, _ := s.seen()
		return until(ctx, patience, func(context.Context) error {
			n, _ := s.seen()
			seen = fmt.Sprintf("%d lines echoed after the rules went", n-before)
			if n < before+5 {
				return errors.New("the connection into the VM stopped")
			}
			return nil
		})
	})
	return seen, err
}

// outward reports whether the VM can open a connection: to the DHCP server's
// DNS port.
func (c *Cloud) outward(ctx context.Context) bool {
	return c.inGuest(ctx, c.expand("nc -w 1 $dip 53 </dev/null")) == nil
}

func egressRuleRemoved(ctx context.Context, c *Cloud) (seen string, err error) {
	if !c.outward(ctx) {
		return "", errors.New("the VM cannot connect out with its egress rule")
	}
	err = c.withoutRules(ctx, egress, func(ctx context.Context) error {
		begin := time.Now()
		return until(ctx, patience, func(ctx context.Context) error {
			if c.outward(ctx) {
				return errors.New("the VM still connects out")
			}
			seen = fmt.Sprintf("refused %v after the rule went", time.Since(begin).Round(time.Millisecond))
			return nil
		})
	})
	return seen, err
}

func ruleAppears(ctx context.Context, c *Cloud) (string, error) {
	group, err := c.group(ctx)
	if err != nil {
		return "", err
	}
	const others = "iptables -S | grep -v -e '--dport 8022'" // other ports of the group get the rule too
	before, err := c.sh(ctx, "compute", others)
	if err != nil {
		return "", err
	}
	rule, err := c.lab.Client().Create(ctx, "security-group-rules", lab.Object{"security_group_id": group, "direction": "ingress",
		"protocol": "tcp", "port_range_min": 8022, "port_range_max": 8022})
	if err != nil {
		return "", err
	}
	begin := time.Now()
	_, err = c.expect(ctx, "compute", "iptables -S $X-i$p10", has("--dport 8022 -j RETURN"))
	took := time.Since(begin).Round(time.Millisecond)
	now, e := c.sh(ctx, "compute", others)
	if e == nil && now != before {
		e = errors.New("other rules changed")
	}
	err = errors.Join(err, e, c.lab.Client().Delete(ctx, "security-group-rules", rule.ID()))
	if err == nil {
		_, err = c.expect(ctx, "compute", "iptables -S $X-i$p10", without("--dport 8022"))
	}
	return fmt.Sprintf("--dport 8022 after %v, all other rules as before", took), err
}

func icmpOnlyWithRule(ctx context.Context, c *Cloud) (string, error) {
	if err := c.pingFrom(ctx, "$ip"); err != nil {
		return "", fmt.Errorf("with the rule: %w", err)
	}
	err := c.withoutRules(ctx, lab.Query{"protocol": "icmp"}, func(ctx context.Context) error {
		return until(ctx, patience, func(ctx context.Context) error {
			if c.pingFrom(ctx, "$ip") == nil {
				return errors.New("ping works without the rule")
			}
			return nil
		})
	})
	if err != nil {
		return "", err
	}
	err = until(ctx, patience, func(ctx context.Context) error { return c.pingFrom(ctx, "$ip") })
	return "with rule: reply; without: none; with it again: reply", err
}

func sshOpenTelnetClosed(ctx context.Context, c *Cloud) (string, error) {
	if err := c.connectFrom(ctx, "$ip", 22); err != nil {
		return "", fmt.Errorf("port 22: %w", err)
	}
	if c.connectFrom(ctx, "$ip", 23) == nil {
		return "", errors.New("port 23 is open without a rule")
	}
	return "22 connects, 23 (listening in the VM) does not", nil
}

func httpOpen(ctx context.Context, c *Cloud) (string, error) {
	out, err := c.sh(ctx, "network", "printf 'GET / HTTP/1.0\r\n\r\n' | ip netns exec $ns busybox nc -w 3 $ip 80")
	if err == nil {
		err = has("200 OK")(c, out)
	}
	return "GET / → " + brief(out), err
}

func fallbackCounts(ctx context.Context, c *Cloud) (string, error) {
	before, err := c.counter(ctx, "$X-sg-fallback", "DROP")
	if err != nil {
		return "", err
	}
	_ = c.connectFrom(ctx, "$ip", 2323) // it is dropped
	after, err := c.counter(ctx, "$X-sg-fallback", "DROP")
	if err == nil && after <= before {
		err = errors.New("the counter does not rise")
	}
	return fmt.Sprintf("DROP counter %d → %d", before, after), err
}

func removedRuleEndsConnection(ctx context.Context, c *Cloud) (seen string, err error) {
	s, err := c.stream(ctx, 22)
	if err != nil {
		return "", err
	}
	defer s.stop()
	err = c.withoutRules(ctx, lab.Query{"protocol": "tcp", "port_range_min": "22"}, func(ctx context.Context) error {
		deleted := time.Now()
		if err := s.quiet(ctx, 2*time.Second); err != nil {
			return err
		}
		_, last := s.seen()
		after := last.Sub(deleted)
		seen = fmt.Sprintf("last echo %v after the rule was deleted", after.Round(time.Millisecond))
		if after > time.Second {
			return errors.New("the live connection outlived its rule by more than a second")
		}
		return nil
	})
	if err != nil {
		return seen, err
	}
	return seen, until(ctx, patience, func(ctx context.Context) error { return c.connectFrom(ctx, "$ip", 22) })
}
