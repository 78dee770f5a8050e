package policytest

import (
	"slices"
	"testing"
)

// The judge, held against the rows of api.md section 1.9 one by one.
func TestTheJudgeSaysWhatTheReferenceSays(t *testing.T) {
	who := func(role, project string) caller {
		for _, c := range callers(project) {
			if c.role == role {
				return c
			}
		}
		t.Fatalf("no role %s", role)
		return caller{}
	}
	own, sharedWith := fact{owner: owner}, fact{owner: owner, shared: target}
	get, change := "A/R/S/shared/external", []string{"A/M"}
	adminOnly := []string{"A/M", "A"}
	net := &parent{fact: own, get: get}
	sharedNet := &parent{fact: sharedWith, get: get}
	childOn := func(p *parent, c caller) fact {
		return fact{owner: c.project, over: p.owner, shared: p.shared, external: p.external}
	}
	post := func(p *parent, c caller, rules ...string) want { return judgeCreate(childOn(p, c), p, rules, c) }
	for _, row := range []struct {
		name string
		got  want
		want []int
	}{
		{"GET one, not visible", judgeGet(own, get, who("member", other)), []int{404}},
		{"GET one, row visible but policy denies", judgeGet(own, get, who("guest", owner)), []int{404}},
		{"GET own as reader", judgeGet(own, get, who("reader", owner)), []int{200, 204}},
		{"GET shared", judgeGet(sharedWith, get, who("member", target)), []int{200, 204}},
		{"PUT not visible", judgeChange(own, get, change, who("member", other)), []int{404}},
		{"PUT own as reader", judgeChange(own, get, change, who("reader", owner)), []int{403}},
		{"PUT shared", judgeChange(sharedWith, get, change, who("manager", target)), []int{403}},
		{"PUT as admin of another project", judgeChange(own, get, change, who("admin", other)), []int{200, 201, 204}},
		{"PUT an admin's attribute of the own", judgeChange(own, get, adminOnly, who("manager", owner)), []int{403}},
		{"POST as reader", judgeCreate(own, nil, change, who("reader", owner)), []int{403}},
		{"POST an admin's attribute", judgeCreate(own, nil, adminOnly, who("member", owner)), []int{403}},
		{"POST child on an invisible network", post(net, who("member", other), "A/NM"), []int{404}},
		{"POST port on the own network", post(net, who("member", owner), "A/S/NM/shared"), []int{201}},
		{"POST port on a shared network", post(sharedNet, who("member", target), "A/S/NM/shared"), []int{201}},
		{"POST port on a shared network as reader", post(sharedNet, who("reader", target), "A/S/NM/shared"), []int{403}},
		{"POST port with a MAC on a shared network", post(sharedNet, who("manager", target), "A/S/NM/shared", "A/S/NM"), []int{403}},
		{"POST subnet on a shared network", post(sharedNet, who("member", target), "A/NM"), []int{403}},
		{"GET of what has no project", judgeGet(fact{}, "A/R", caller{roles: []string{"reader"}}), []int{404}},
	} {
		if !slices.Equal(row.got.statuses, row.want) {
			t.Errorf("%s: the judge says %s, the reference %v", row.name, row.got, row.want)
		}
	}
}
