"""What a clean-up by tag forgets: an embedded account in which somebody worked last term."""

from lab_env.aws.accounts import Account, account
from lab_env.aws.inventory import TAG, tags_of

NEIGHBOUR = "operations"  # whose things are not to be touched
KEPT = {"tower", "tower-archive"}  # their names
FORGOTTEN_GIB = 100


def practice(own: Account) -> Account:
    """Return an embedded account with leftovers: in ``own`` if that is one, else a new one.

    Called again it makes them anew.
    """
    place = own if not own.real else account(embedded=True)
    ec2 = place.client("ec2")
    _remove(ec2)
    tags = [{"Key": TAG, "Value": NEIGHBOUR}]

    def named(kind: str, name: str) -> list[dict]:
        return [{"ResourceType": kind, "Tags": [*tags, {"Key": "Name", "Value": name}]}]

    zone = ec2.describe_subnets()["Subnets"][0]
    image = place.client("ssm").get_parameter(
        Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    )["Parameter"]["Value"]
    ec2.run_instances(
        ImageId=image,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=zone["SubnetId"],
        TagSpecifications=[*named("instance", "tower"), *named("volume", "tower")],
    )
    here = {"AvailabilityZone": zone["AvailabilityZone"], "VolumeType": "gp3"}
    ec2.create_volume(Size=20, TagSpecifications=named("volume", "tower-archive"), **here)
    # the disk of an instance that was ended long ago; nobody had thought of tagging disks
    ec2.create_volume(Size=FORGOTTEN_GIB, **here)
    place.forget()
    return place


def _remove(ec2) -> None:
    """Remove what an earlier call has made."""
    from lab_env.aws.inventory import instances

    told = {"Filters": [{"Name": f"tag:{TAG}", "Values": [NEIGHBOUR]}]}
    if ids := [one["InstanceId"] for one in instances(ec2, **told)]:
        ec2.terminate_instances(InstanceIds=ids)
    # the forgotten disk is known by its size alone: a student may have tagged or attached it
    size = [{"Name": "volume-size", "Values": [str(FORGOTTEN_GIB)]}]
    for one in ec2.describe_snapshots(Filters=size)["Snapshots"]:
        ec2.delete_snapshot(SnapshotId=one["SnapshotId"])
    for one in ec2.describe_volumes()["Volumes"]:
        forgotten = one["Size"] == FORGOTTEN_GIB
        if not forgotten and tags_of(one.get("Tags")).get(TAG) != NEIGHBOUR:
            continue
        for at in one.get("Attachments", ()):
            ec2.detach_volume(VolumeId=one["VolumeId"], InstanceId=at["InstanceId"])
        ec2.delete_volume(VolumeId=one["VolumeId"])
