// Package door keeps other people's web pages out of an API that asks for no
// proof, or for one that a browser gives by itself: loopback and a password that
// the browser remembers do not tell a person's wish from a page's. A page of
// another origin is told by the headers that browsers set and that pages cannot
// (Fetch Metadata, RFC 6454), by a body whose type needs no preflight, and, when
// its name was pointed at this machine (DNS rebinding), by Host.
package door

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Door says which requests are let in.
type Door struct {
	// CheckHost refuses a Host that is not this server, for servers that believe
	// everybody who reaches them. A password is safe without it: a browser sends it
	// to the name that it was given for.
	CheckHost bool
	// Names are those of the server beside localhost and its addresses: host names
	// and addresses, without ports.
	Names []string
}

// Refusal is a request that is not let in.
type Refusal struct {
	Status int    // of HTTP
	Text   string // what is wrong, and what to send or set instead
}

// Error is the text.
func (r *Refusal) Error() string { return r.Text }

// Admit refuses a request that somebody else's web page may have sent, as a
// [Refusal]. One that came through a unix socket is admitted: no browser does that.
func (d *Door) Admit(r *http.Request) error {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if ok && local.Network() == "unix" {
		return nil
	}
	if d.CheckHost && !d.isOurs(r.Host, local) {
		return forbidden("Host %q is not a name of this server: send localhost or its address, or set [neutrino] api_names = %s",
			r.Host, short(hostOf(r.Host)))
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return forbidden("Sec-Fetch-Site %q: a web page of another origin sent this request; only pages of this server may", short(site))
	}
	for _, origin := range r.Header.Values("Origin") {
		if !d.isSameOrigin(origin, r.Host) {
			return forbidden("Origin %q is not this server, %s: only its own pages may send requests, and other programs send no Origin",
				short(origin), short(r.Host))
		}
	}
	if r.ContentLength == 0 {
		return nil
	}
	given := r.Header.Values("Content-Type")
	kind := ""
	if len(given) == 1 {
		kind, _, _ = mime.ParseMediaType(given[0])
	}
	if kind != "application/json" {
		return &Refusal{http.StatusUnsupportedMediaType, fmt.Sprintf(
			"Content-Type %q: send the body with Content-Type: application/json", short(strings.Join(given, ", ")))}
	}
	return nil
}

func forbidden(format string, args ...any) error {
	return &Refusal{http.StatusForbidden, fmt.Sprintf(format, args...)}
}

// isOurs reports whether a Host header names this server: localhost, a loopback
// address, the address that the connection came to, or a configured name. The port
// is not compared: it is another one behind a forwarded port.
func (d *Door) isOurs(hostport string, local net.Addr) bool {
	host := hostOf(hostport)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	if slices.ContainsFunc(d.Names, func(name string) bool { return strings.EqualFold(strings.TrimSuffix(name, "."), host) }) {
		return true
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if address.Unmap().IsLoopback() {
		return true
	}
	tcp, ok := local.(*net.TCPAddr)
	return ok && tcp.AddrPort().Addr().Unmap().WithZone("") == address.Unmap().WithZone("")
}

// isSameOrigin reports whether an Origin header is the server that Host names, or
// a configured name of it, where a proxy has changed Host. The scheme is not
// compared: a proxy may speak TLS.
func (d *Door) isSameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false // also "null", of pages without an origin
	}
	if strings.EqualFold(u.Host, host) {
		return true
	}
	return slices.ContainsFunc(d.Names, func(name string) bool { return strings.EqualFold(name, u.Hostname()) })
}

// hostOf is a Host header without port, brackets and the dot of the root, in lower
// case.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// short is a header as an answer repeats it.
func short(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
