package check

// This file answers: would Kubernetes take the manifests, and do they do what they
// are for: keep a peer's rights small, and drain before it goes?

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// objects decodes a file as kubectl does with --validate=strict: an unknown field,
// or one of the wrong type, is an error.
func objects(t *testing.T, file string) (all []any) {
	t.Helper()
	for i, doc := range strings.Split(read(t, file), "\n---\n") {
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatalf("%s, document %d: %v", file, i, err)
		}
		var o any
		switch kind.APIVersion + " " + kind.Kind {
		case "v1 Namespace":
			o = &core.Namespace{}
		case "v1 ConfigMap":
			o = &core.ConfigMap{}
		case "v1 Service":
			o = &core.Service{}
		case "v1 PersistentVolumeClaim":
			o = &core.PersistentVolumeClaim{}
		case "apps/v1 Deployment":
			o = &apps.Deployment{}
		case "apps/v1 StatefulSet":
			o = &apps.StatefulSet{}
		case "batch/v1 Job":
			o = &batch.Job{}
		case "policy/v1 PodDisruptionBudget":
			o = &policy.PodDisruptionBudget{}
		default:
			t.Fatalf("%s, document %d: %+v is not known to this test: add it to objects", file, i, kind)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
			t.Errorf("%s, document %d (%s): %v", file, i, kind.Kind, err)
		}
		all = append(all, o)
	}
	return all
}

// pick returns the only object of a type.
func pick[T any](t *testing.T, all []any) *T {
	t.Helper()
	for _, o := range all {
		if v, ok := o.(*T); ok {
			return v
		}
	}
	t.Fatalf("no %T among %d objects", *new(T), len(all))
	return nil
}

// hardened checks the rights of a pod.
func hardened(t *testing.T, what string, pod core.PodSpec) {
	t.Helper()
	yes := func(b *bool) bool { return b != nil && *b }
	s := pod.SecurityContext
	if s == nil || !yes(s.RunAsNonRoot) || s.RunAsUser == nil || *s.RunAsUser == 0 || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: the pod's security context is %+v", what, s)
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || !yes(s.ReadOnlyRootFilesystem) || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
			t.Errorf("%s: the security context of %s is %+v", what, c.Name, s)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Memory().Cmp(*c.Resources.Limits.Memory()) > 0 {
			t.Errorf("%s: %s has memory %v, limit %v", what, c.Name, c.Resources.Requests.Memory(), c.Resources.Limits.Memory())
		}
	}
}

// drains checks that a pod is drained before it ends, and known to be ready.
func drains(t *testing.T, what string, pod core.PodSpec) {
	t.Helper()
	c := pod.Containers[0]
	if p := c.ReadinessProbe; p == nil || p.HTTPGet == nil || p.HTTPGet.Path != "/readyz" {
		t.Errorf("%s: readiness is asked by %+v", what, p)
	}
	if p := c.LivenessProbe; p == nil || p.HTTPGet == nil || p.HTTPGet.Path != "/healthz" {
		t.Errorf("%s: a drain would end it: liveness is asked by %+v", what, p)
	}
	hook := c.Lifecycle
	if hook == nil || hook.PreStop == nil || hook.PreStop.Exec == nil || !slices.Contains(hook.PreStop.Exec.Command, "drain") {
		t.Fatalf("%s: no drain before it stops", what)
	}
	admin := argument(c.Args, "admin")
	if admin == "" || !slices.Contains(hook.PreStop.Exec.Command, "--admin="+admin) || !strings.HasPrefix(admin, "127.") {
		t.Errorf("%s: the admin API is at %q, the drain asks %v", what, admin, hook.PreStop.Exec.Command)
	}
	wait := 5 * time.Second
	if d := argument(c.Args, "drain-timeout"); d != "" {
		var err error
		if wait, err = time.ParseDuration(d); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if g := pod.TerminationGracePeriodSeconds; g == nil || time.Duration(*g)*time.Second < wait+10*time.Second {
		t.Errorf("%s: it is killed before a drain of %v is over", what, wait)
	}
	port := strings.TrimPrefix(argument(c.Args, "metrics"), ":")
	if !slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == "metrics" && fmt.Sprint(p.ContainerPort) == port }) {
		t.Errorf("%s: metrics are at %s, the ports are %+v", what, port, c.Ports)
	}
}

func argument(args []string, name string) string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return v
		}
	}
	return ""
}

// covers checks that a selector finds a pod.
func covers(t *testing.T, what string, selector, labels map[string]string) {
	t.Helper()
	if len(selector) == 0 {
		t.Errorf("%s selects nothing", what)
	}
	for k, v := range selector {
		if labels[k] != v {
			t.Errorf("%s selects %s=%s, the pod has %q", what, k, v, labels[k])
		}
	}
}

func TestRelaysAreUpdatedOneDrainAfterTheOther(t *testing.T) {
	all := objects(t, "deploy/kubernetes/relay.yaml")
	d := pick[apps.Deployment](t, all)
	hardened(t, "relay", d.Spec.Template.Spec)
	drains(t, "relay", d.Spec.Template.Spec)
	u := d.Spec.Strategy.RollingUpdate
	if u == nil || u.MaxUnavailable.IntValue() != 1 || u.MaxSurge.IntValue() != 0 {
		t.Errorf("the strategy is %+v: two pods would want the node's port", u)
	}
	pdb := pick[policy.PodDisruptionBudget](t, all)
	if pdb.Spec.MaxUnavailable == nil || pdb.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("the budget is %+v", pdb.Spec)
	}
	covers(t, "the deployment", d.Spec.Selector.MatchLabels, d.Spec.Template.Labels)
	covers(t, "the budget", pdb.Spec.Selector.MatchLabels, d.Spec.Template.Labels)
	if cm := pick[core.ConfigMap](t, all); d.Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name != cm.Name || cm.Data["LINK"] == "" {
		t.Errorf("the config map %s has %v", cm.Name, cm.Data)
	}
}

func TestBootstrapNodesKeepTheirKeys(t *testing.T) {
	all := objects(t, "deploy/kubernetes/bootstrap.yaml")
	s := pick[apps.StatefulSet](t, all)
	pod := s.Spec.Template.Spec
	hardened(t, "bootstrap", pod)
	drains(t, "bootstrap", pod)
	mount := pod.Containers[0].VolumeMounts[0]
	if claims := s.Spec.VolumeClaimTemplates; len(claims) != 1 || claims[0].Name != mount.Name || !strings.HasPrefix(argument(pod.Containers[0].Args, "key"), mount.MountPath+"/") {
		t.Errorf("the key %q is not on the claim %+v", argument(pod.Containers[0].Args, "key"), claims)
	}
	if p := pod.SecurityContext.FSGroupChangePolicy; p == nil || *p != core.FSGroupChangeOnRootMismatch {
		t.Error("each start opens the key to its group, and the peer refuses it")
	}
	svc, pdb := pick[core.Service](t, all), pick[policy.PodDisruptionBudget](t, all)
	if s.Spec.ServiceName != svc.Name {
		t.Errorf("service %q, want %q", svc.Name, s.Spec.ServiceName)
	}
	for what, selector := range map[string]map[string]string{"the set": s.Spec.Selector.MatchLabels, "the service": svc.Spec.Selector, "the budget": pdb.Spec.Selector.MatchLabels} {
		covers(t, what, selector, s.Spec.Template.Labels)
	}
}

func TestShardsOfASimulationAreThoseOfTheJob(t *testing.T) {
	all := objects(t, "deploy/sim-job.yaml")
	j, claim := pick[batch.Job](t, all), pick[core.PersistentVolumeClaim](t, all)
	pod := j.Spec.Template.Spec
	hardened(t, "simulation", pod)
	if want := fmt.Sprintf("$(JOB_COMPLETION_INDEX)/%d", *j.Spec.Completions); argument(pod.Containers[0].Args, "shard") != want || *j.Spec.CompletionMode != batch.IndexedCompletion {
		t.Errorf("--shard=%s, want %s", argument(pod.Containers[0].Args, "shard"), want)
	}
	if pod.Volumes[0].PersistentVolumeClaim.ClaimName != claim.Name {
		t.Errorf("the volume is %+v, the claim %s", pod.Volumes[0], claim.Name)
	}
}

func TestAMisspelledFieldIsFound(t *testing.T) {
	doc := strings.Replace(read(t, "deploy/kubernetes/relay.yaml"), "terminationGracePeriodSeconds", "terminationGracePeriod", 1)
	for _, part := range bytes.Split([]byte(doc), []byte("\n---\n")) {
		if bytes.Contains(part, []byte("kind: Deployment")) && yaml.UnmarshalStrict(part, &apps.Deployment{}) != nil {
			return
		}
	}
	t.Error("strict decoding does not see it")
}
