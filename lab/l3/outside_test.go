package l3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/agent"
	"neutrino/lab"
)

// How long it may take until something outside is noticed, and until it is seen
// to be over: a round of questions each 30 s, and each 10 s while something is
// wrong.
const (
	noticeTime = 50 * time.Second
	overTime   = 25 * time.Second
)

// noticed waits until a host notices something of the object, with the words,
// says so on its agents and in the lab's status, and has nothing else to say.
func (w *world) noticed(h *lab.Host, object string, words ...string) agent.Trouble {
	w.Helper()
	var found agent.Trouble
	took := w.until(noticeTime, func() error {
		st, err := w.status(h)
		for _, t := range st.Noticed {
			if t.Object == object {
				found = t
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("%s notices nothing of %s: %v", h.Name, object, st.Noticed))
	})
	for _, word := range words {
		if !strings.Contains(found.Reason, word) {
			w.Errorf("%q is not in: %s", word, found.Reason)
		}
	}
	w.must(w.quiet(h)) // nothing is waited for, and nothing fails
	w.until(patience, func() error {
		agents, err := w.api.List(w.ctx, "agents", lab.Query{"host": h.Name, "agent_type": neutrino.AgentL3})
		if err != nil || len(agents) != 1 {
			return fmt.Errorf("%d agents (%w)", len(agents), err)
		}
		for _, c := range lab.Conditions(agents[0]) {
			if c.Object == object && c.Reason == found.Reason {
				return nil
			}
		}
		return fmt.Errorf("the L3 agent shows %v", lab.Conditions(agents[0]))
	})
	var text strings.Builder
	_, err := w.lab.Status(w.ctx).WriteTo(&text)
	w.must(err)
	if want := "condition on " + h.Name + ", " + object + ": " + found.Reason; !strings.Contains(text.String(), want) {
		w.Errorf("the lab's status has no %q:\n%s", want, text.String())
	}
	w.Logf("noticed after %v: %s: %s", took.Round(time.Millisecond), object, found.Reason)
	return found
}

// over waits until nothing is noticed any more.
func (w *world) over(h *lab.Host) {
	w.Helper()
	took := w.until(overTime, func() error {
		st, err := w.status(h)
		if err == nil && len(st.Noticed) > 0 {
			err = fmt.Errorf("%s notices %v", h.Name, st.Noticed)
		}
		return err
	})
	w.until(patience, func() error {
		agents, err := w.api.List(w.ctx, "agents", lab.Query{"host": h.Name})
		for _, a := range agents {
			if c := lab.Conditions(a); len(c) > 0 {
				err = errors.Join(err, fmt.Errorf("%s shows %v", a.Text("agent_type"), c))
			}
		}
		return err
	})
	w.Logf("over after %v", took.Round(time.Millisecond))
}

// A station outside takes a floating IP as its own, and the external gateway
// answers no ARP: both are said with all that an operator needs, nothing else
// is harmed, and both are forgotten when they are over.
func TestWhatIsWrongOutsideIsNoticed(t *testing.T) {
	w := story(t)
	router := w.one("routers", lab.Query{"name": lab.SeedRouter})
	floating := w.one("floatingips", lab.Query{"floating_ip_address": lab.SeedFloatingIP})
	gateway := w.one("ports", lab.Query{"device_id": router.ID(), "device_owner": neutrino.OwnerGateway})
	h, _ := w.routerHost(router.ID())
	device := "qg-" + gateway.ID()[:11]
	own := strings.TrimSpace(w.sh(h, "ip netns exec qrouter-"+router.ID()+" ip -4 -o address show dev "+device+" | grep -v /32 | sed 's/.*inet //; s/\\/.*//'"))
	nic := strings.TrimSpace(w.sh(w.outside, "ip -4 -o address show to "+lab.OutsideGateway+" | cut -d' ' -f2"))
	mac := strings.TrimSpace(w.sh(w.outside, "cat /sys/class/net/"+nic+"/address"))
	w.over(h)
	w.Cleanup(func() {
		_, err := w.outside.Run(context.Background(), "sh", "-c",
			"ip address del "+lab.SeedFloatingIP+"/32 dev "+nic+" 2>/dev/null; sysctl -qw net.ipv4.conf."+nic+".arp_ignore=0")
		if err != nil {
			t.Error(err)
		}
	})

	others := w.ping(own, 50*time.Millisecond)
	w.until(patience, func() error { return w.heard(others, time.Time{}) })
	w.sh(w.outside, "ip address add "+lab.SeedFloatingIP+"/32 dev "+nic+"; busybox arping -q -U -c 1 -I "+nic+" "+lab.SeedFloatingIP)
	w.noticed(h, neutrino.FloatingIPObject(neutrino.ID(floating.ID())), lab.SeedFloatingIP, mac, device, "router/"+router.ID(), "take the address from that station")
	if got := w.one("floatingips", lab.Query{"id": floating.ID()}).Text("status"); got != neutrino.FloatingIPActive {
		t.Errorf("the floating IP is %s", got)
	}
	w.must(errors.Join(w.vm.Ping(w.ctx, lab.SeedDHCP), w.metadata(w.vm)))
	w.sh(w.outside, "ip address del "+lab.SeedFloatingIP+"/32 dev "+nic)
	w.over(h)
	count, err := others.Stop()
	w.must(err)
	if count.Lost > 0 {
		t.Errorf("%d of %d pings to the router's own address were lost", count.Lost, count.Sent)
	}
	back := w.ping(lab.SeedFloatingIP, 50*time.Millisecond)
	w.until(patience, func() error { return w.heard(back, time.Time{}) })
	_, err = back.Stop()
	w.must(err)

	w.sh(w.outside, "sysctl -qw net.ipv4.conf."+nic+".arp_ignore=8")
	w.noticed(h, "router/"+router.ID(), lab.OutsideGateway, "does not answer ARP", device, own, "gateway_ip")
	if got := w.one("ports", lab.Query{"id": gateway.ID()}).Text("status"); got != string(neutrino.PortActive) {
		t.Errorf("the gateway port is %s", got)
	}
	w.must(errors.Join(w.vm.Ping(w.ctx, lab.SeedDHCP), w.metadata(w.vm)))
	w.sh(w.outside, "sysctl -qw net.ipv4.conf."+nic+".arp_ignore=0")
	w.over(h)
	w.until(patience, func() error { return w.vm.Ping(w.ctx, lab.OutsideFar) })
}
