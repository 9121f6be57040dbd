"""A whole site on one machine, to try it: `sh deploy/baremetal/try`."""
