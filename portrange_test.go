package neutrino

import "testing"

func TestPortRanges(t *testing.T) {
	for text, want := range map[string]PortRange{"80": {80, 80}, "80:80": {80, 80}, "1:65535": {1, 65535}, "8000:8010": {8000, 8010}} {
		if r, err := ParsePortRange(text); err != nil || r != want {
			t.Errorf("%q is %v (%v)", text, r, err)
		}
	}
	for _, text := range []string{"", ":", "80:", ":80", "0:5", "5:4", "1:65536", "1:2:3", "a:b", "80 ", "-1"} {
		if r, err := ParsePortRange(text); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
	r := PortRange{8000, 8010}
	for other, want := range map[PortRange]bool{{8010, 8020}: true, {8011, 8012}: false, {1, 7999}: false, {1, 65535}: true, {8005, 8005}: true} {
		if r.Overlaps(other) != want || other.Overlaps(r) != want {
			t.Errorf("%v and %v", r, other)
		}
	}
	if r.Size() != 11 || r.String() != "8000:8010" {
		t.Errorf("%v has %d", r, r.Size())
	}
	old := PortForwarding{ExternalPort: &r.First}
	if got := old.ExternalPorts(); got != OnePort(8000) {
		t.Errorf("a forwarding that was stored without a range has %v", got)
	}
}
