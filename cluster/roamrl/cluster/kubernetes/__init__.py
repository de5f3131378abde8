"""Files for clusters that others run: a container image, KubeRay manifests, Ray's cluster launcher."""
