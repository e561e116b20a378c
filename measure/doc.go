// Package measure computes what a viewer experiences, once for live, stack and
// model runs, from the same events, so that their numbers can be laid side by
// side. docs/measures.md defines each measure.
package measure
