package neutrino

import "testing"

// What tenants may write into the files of dnsmasq (failures.md, S19).
func TestWhichExtraDHCPOptionsThereCanBe(t *testing.T) {
	for _, row := range []struct {
		name, value string
		version     int
		ok, fits    bool
	}{
		{"bootfile-name", "pxelinux.0", 4, true, true},
		{"bootfile-name", "a,b; c", 4, true, true},
		{"bootfile-name", "a\nb", 4, false, false},
		{"bootfile-name", `a"b`, 4, false, false},
		{"bootfile-name", "a # b", 4, false, false},
		{"bootfile-name", "a#b", 4, true, true},
		{"server-ip-address", "10.0.0.1", 4, true, true},
		{"server-ip-address", "2001:db8::1", 4, true, false}, // as clients send it for a port of both families
		{"tftp-server", "10.0.0.1", 6, true, false},
		{"dns-server", "[2001:db8::1],2001:db8::2", 6, true, true},
		{"dns-server", "fe80::1%eth0", 6, false, false},
		{"dns-server", "x", 4, false, false},
		{"6", "x", 4, false, false},
		{"mtu", "1400", 4, true, true},
		{"mtu", "1400 ", 4, false, false},
		{"router", "", 4, true, true},
		{"domain-search", "a.example,b.example.", 4, true, true},
		{"domain-search", "a b", 4, false, false},
		{"domain-search", "-a.example", 4, false, false},
		{"252", "http://10.1.0.1/wpad", 4, true, true},
		{"252", "10.1", 4, false, false},
		{"255", "10.0.0.1", 4, false, false},
		{"0252", "x", 4, false, false},
		{"300", "x", 4, false, false},
		{"300", "x", 6, true, true},
		{"no-such-option", "x", 4, false, false},
		{"option:router", "10.0.0.1", 4, false, false},
		{"client-id", "red", 4, true, true},
		{"client-id", "01:fa:16:3e:00:00:01", 4, true, true},
		{"client-id", "red,10.0.0.99", 4, false, false},
		{"61", "*,set:port-x", 4, false, false},
		{"61", "a b", 4, false, false},
		{"61", "#", 4, false, false},
		{"61", "::1", 4, false, false},
	} {
		o := DHCPOption{Name: row.name, Value: row.value, IPVersion: row.version}
		if err := o.Check(); (err == nil) != row.ok {
			t.Errorf("%+v: %v", o, err)
		}
		if row.ok && o.Fits() != row.fits {
			t.Errorf("%+v fits: %v", o, o.Fits())
		}
	}
}
