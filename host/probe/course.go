package probe

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"neutrino/host"
)

// pace is how often is asked. The questions of RFC 5227 (1.1) are three, a
// second apart.
type pace struct {
	settle time.Duration // from the start of the agent to the first question
	first  time.Duration // until a new address is asked for, at most
	every  time.Duration // between two rounds
	again  time.Duration // between two rounds while something is wrong
	wait   time.Duration // for an answer
	tries  int           // questions of a round that has no answer
	gap    time.Duration // between two questions of the host
}

// usualPace is the pace of an agent: 200 floating IPs cost some seven small
// frames each second, and no plan costs more than a hundred.
func usualPace() pace {
	return pace{settle: 3 * time.Second, first: time.Second, every: 30 * time.Second, again: 10 * time.Second,
		wait: time.Second, tries: 3, gap: 10 * time.Millisecond}
}

// course is how it goes with one question: rounds of some questions each. It
// reads no clock.
type course struct {
	probe   host.Probe
	kind    host.ProbeKind
	address netip.Addr

	next  time.Time
	fresh bool // no round has ended yet
	alarm bool // somebody said to have the address, without having been asked

	// Of the present round; asked is 0 between rounds.
	asked    int
	heard    bool // since the last question
	answered int  // questions

	// What the rounds have found.
	other   net.HardwareAddr // who else has the address, or is said to
	wrong   bool
	refused netip.Addr // which address the kernel does not use therefore
}

// step is called when the course is due: it judges the last question and
// reports whether another one is to be put.
func (c *course) step(now time.Time, p pace) bool {
	if c.asked > 0 {
		if c.heard {
			c.answered++
		}
		if over, wrong := c.judge(p); over {
			c.wrong = wrong
			c.rest(now, p)
			return false
		}
	}
	c.asked, c.heard = c.asked+1, false
	c.next = now.Add(p.wait)
	return true
}

// judge says whether the round is over, and what it has found. Somebody else
// has our address when he answers twice: an address that moves between hosts is
// answered for once by the one that loses it. A gateway is missing when no
// question has an answer.
func (c *course) judge(p pace) (over, wrong bool) {
	if c.kind == host.ProbeAnswers {
		return c.answered > 0 || c.asked >= p.tries, c.answered == 0
	}
	const proof = 2
	tries := p.tries
	if !c.fresh && !c.wrong && !c.alarm && c.answered == 0 {
		tries = 1
	}
	return c.answered >= proof || c.asked >= tries, c.answered >= proof
}

// rest ends a round.
func (c *course) rest(now time.Time, p pace) {
	c.fresh, c.alarm, c.asked, c.heard, c.answered = false, false, 0, false, 0
	d := p.every
	if c.wrong || c.refused.IsValid() {
		d = p.again
	}
	c.next = now.Add(d - d/8 + random(d/4))
}

// unknown ends a round in which no question can be put.
func (c *course) unknown(now time.Time, p pace) {
	c.wrong, c.refused = false, netip.Addr{}
	c.rest(now, p)
	c.next = now.Add(p.wait + random(p.wait)) // a device that is being made is there soon
	c.fresh = true
}

// hear takes in that a station with the MAC says to have the address, and
// reports whether that cannot wait.
func (c *course) hear(now time.Time, mac net.HardwareAddr) bool {
	c.other = mac
	if c.asked > 0 {
		c.heard = true
		return false
	}
	if c.kind == host.ProbeAnswers {
		return c.bring(now, c.wrong) // it is back
	}
	return c.bring(now, !c.wrong)
}

// bring has the next round begin now where there is news.
func (c *course) bring(now time.Time, news bool) bool {
	if !news || c.alarm {
		return false
	}
	c.alarm, c.next = true, now
	return true
}

// reason is what is wrong, "" for nothing.
func (c *course) reason(k host.ProbeKey) string {
	protocol := "ARP"
	if c.address.Is6() {
		protocol = "neighbour discovery"
	}
	switch {
	case c.refused.IsValid():
		return fmt.Sprintf("duplicate address: the kernel found that another station on the link of %s (%s, namespace %s) has %s too, and does not use it; "+
			"take the address from that station, or release it here", k.Device, c.probe.Scope, k.NetNS, c.refused)
	case c.wrong && c.kind == host.ProbeUnique:
		return fmt.Sprintf("duplicate address: a station with MAC %s answers %s for %s, which belongs to %s of %s (namespace %s); "+
			"take the address from that station, or release it here and use another one", c.other, protocol, k.Address, k.Device, c.probe.Scope, k.NetNS)
	case c.wrong:
		return fmt.Sprintf("the external gateway %s does not answer %s on %s of %s (namespace %s), asked from %s; "+
			"check the uplink of the provider bridge, the VLAN of the external network, and gateway_ip of its subnet",
			k.Address, protocol, k.Device, c.probe.Scope, k.NetNS, c.probe.From)
	}
	return ""
}
