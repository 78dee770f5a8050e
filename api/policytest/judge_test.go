package policytest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// caller is who sends a request: one project and its roles.
type caller struct {
	role    string // the strongest one, for the names of cases
	project string
	roles   []string
}

func (c caller) has(role string) bool { return slices.Contains(c.roles, role) }

func (c caller) String() string { return c.role + " of " + c.project }

// fact is what decides about one object beside the caller.
type fact struct {
	owner string // the object's project
	over  string // the project of its network, parent or group
	// shared and external are the project that an RBAC row lets in, or everyone.
	shared, external string
}

// everyone is the target of a share with all projects.
const everyone = "*"

func meets(target string, c caller) bool {
	return target == everyone || target != "" && target == c.project
}

// grants reports whether one letter of the reference lets the caller at the
// object. What a share gives is seen by all whom it is meant for; to build on
// it takes a member (api.md section 1.9: a reader reads).
func (f fact) grants(letter string, c caller, write bool) bool {
	own, over := f.owner != "" && f.owner == c.project, f.over != "" && f.over == c.project
	switch letter {
	case "any":
		return true
	case "any-reader":
		return c.has("reader")
	case "own":
		return own
	case "A":
		return c.has("admin")
	case "S":
		return c.has("service")
	case "G", "M", "R":
		return own && c.has(roleOf(letter))
	case "NG", "NM", "NR", "PM", "PR", "SGM", "SGR":
		return over && c.has(roleOf(letter[len(letter)-1:]))
	case "shared":
		return meets(f.shared, c) && (!write || c.has("member"))
	case "external":
		// The rule reads the network's flag, which is set for whoever reaches the
		// row at all, though only an RBAC row lets others reach it.
		reached := own || over || c.has("service")
		return (meets(f.external, c) || f.external != "" && reached) && (!write || c.has("member"))
	}
	panic("unknown letter " + letter)
}

func roleOf(letter string) string {
	return map[string]string{"G": "manager", "M": "member", "R": "reader"}[letter]
}

// allows reports whether any of the letters lets the caller; "" is no policy of
// its own.
func (f fact) allows(letters string, c caller, write bool) bool {
	return letters == "" || slices.ContainsFunc(strings.Split(letters, "/"), func(l string) bool { return f.grants(l, c, write) })
}

// sees reports whether the object exists for the caller: its row is in reach,
// whether or not the caller's roles suffice to read it (api.md section 1.9).
func (f fact) sees(get string, c caller) bool {
	c.roles = append(slices.Clone(c.roles), "reader")
	return f.allows(get, c, false)
}

// near reports whether the object is the caller's or shared with it, so that it
// may know of it though no letter shows it.
func (f fact) near(c caller) bool {
	return f.owner == c.project || meets(f.shared, c) || meets(f.external, c)
}

// want is what the reference expects: one of the statuses, because of a line.
type want struct {
	statuses []int
	because  string
	// hidden is true when the object must look as if it did not exist.
	hidden bool
}

func (w want) String() string { return fmt.Sprintf("%v (%s)", w.statuses, w.because) }

// judgeGet is the expectation for GET of one object.
func judgeGet(f fact, get string, c caller) want {
	switch {
	case f.allows(get, c, false):
		return want{[]int{http.StatusOK, http.StatusNoContent}, "g:" + get, false}
	case f.sees(get, c):
		return want{[]int{http.StatusNotFound}, "1.9: row visible but policy denies is 404; g:" + get, false}
	}
	return want{[]int{http.StatusNotFound}, "1.9: GET of what is not visible is 404; g:" + get, !f.near(c)}
}

// judgeChange is the expectation for PUT, DELETE and actions: every one of the
// rules must hold.
func judgeChange(f fact, get string, rules []string, c caller) want {
	because := "u/d:" + strings.Join(rules, " and ")
	switch {
	case !f.sees(get, c) && !f.all(rules, c):
		return want{[]int{http.StatusNotFound}, "1.9: PUT/DELETE of what is not visible is 404; " + because, !f.near(c)}
	case !f.all(rules, c) && !f.allows(get, c, false):
		return want{[]int{http.StatusForbidden, http.StatusNotFound}, "1.9: visible but not allowed is 403, policy denies even GET 404; " + because, false}
	case !f.all(rules, c):
		return want{[]int{http.StatusForbidden}, "1.9: visible but not allowed is 403; " + because, false}
	}
	return want{[]int{http.StatusOK, http.StatusCreated, http.StatusNoContent}, because, false}
}

func (f fact) all(rules []string, c caller) bool {
	return !slices.ContainsFunc(rules, func(r string) bool { return !f.allows(r, c, true) })
}

// parent is what a new object is below: its network, group, floating IP or port.
type parent struct {
	fact
	get string // letters
	// ports is true for a port's network: to see it as external is not enough.
	ports bool
}

// judgeCreate is the expectation for POST; p is nil for what is below nothing.
func judgeCreate(f fact, p *parent, rules []string, c caller) want {
	because := "c:" + strings.Join(rules, " and ")
	able := c.has("member") && f.all(rules[1:], c)
	switch {
	case f.all(rules, c):
		return want{[]int{http.StatusCreated}, because, false}
	case p != nil && !p.sees(p.get, c) && able:
		return want{[]int{http.StatusNotFound}, "1.9: POST child on someone's invisible parent is 404; " + because, true}
	case p != nil && !p.sees(p.get, c):
		return want{[]int{http.StatusForbidden, http.StatusNotFound}, "1.9: POST not allowed is 403, on an invisible parent 404; " + because, true}
	case p != nil && p.ports && !meets(p.shared, c) && p.owner != c.project && able:
		return want{[]int{http.StatusNotFound}, "1.9: POST port on visible network not owned and not shared is 404; " + because, false}
	case p != nil && p.ports && !meets(p.shared, c) && p.owner != c.project:
		return want{[]int{http.StatusForbidden, http.StatusNotFound}, "1.9: POST not allowed is 403, port on a network not owned and not shared 404; " + because, false}
	}
	return want{[]int{http.StatusForbidden}, "1.9: POST not allowed is 403; " + because, false}
}
