"""Start states and episodes of PushT by numpy, pymunk and shapely, for
tests/test_base_rng_numpy and tests/test_control_pusht.

    pip install pymunk==6.2.1 shapely numpy
    python tools/reference/pusht_reference.py tests/data/pusht/reference.json

A second writing of the public task (arXiv:2303.04137): the same world built with
pymunk, whose 6.2.1 holds Chipmunk 7.0.3.  An episode starts from the seed's start
state (the block placed, then turned: as the public evaluations do) and follows
random targets around the block, rounded to float32; after each control step stand
agent, block, angle (not wrapped) and covered share of the goal.
"""
import json
import sys

import numpy
import pymunk
import shapely.geometry

SEEDS = [0, 1, 42, 100000, 100001, 100002, 100049, 4294967295]
EPISODES = [(100000, 60), (100001, 60), (7, 60), (11, 60)]
BAR = [(-60, 30), (60, 30), (60, 0), (-60, 0)]
STEM = [(-15, 30), (-15, 120), (15, 120), (15, 30)]


def start_state(seed):
    random = numpy.random.RandomState(seed)
    numbers = [random.randint(50, 450), random.randint(50, 450),
               random.randint(100, 400), random.randint(100, 400)]
    return [float(n) for n in numbers] + [float(random.randn() * 2 * numpy.pi
                                                - numpy.pi)]


def draws(seed):
    """Integers, uniform and normal values one after the other, mixed."""
    random = numpy.random.RandomState(seed)
    values = []
    for n in (1, 2, 3, 400, 1000, 2 ** 31 - 1):
        values.append(float(random.randint(0, n)))
        values.append(float(random.random_sample()))
        values.append(float(random.randn()))
    return values


class World:
    def __init__(self, start):
        self.space = pymunk.Space()
        self.space.gravity = 0, 0
        self.space.damping = 0
        ends = [((5, 506), (5, 5)), ((5, 5), (506, 5)), ((506, 5), (506, 506)),
                ((5, 506), (506, 506))]
        self.space.add(*[pymunk.Segment(self.space.static_body, a, b, 2)
                         for a, b in ends])
        self.agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
        self.space.add(self.agent, pymunk.Circle(self.agent, 15))
        moment = pymunk.moment_for_poly(1, BAR)
        self.block = pymunk.Body(1, moment + moment)
        self.parts = [pymunk.Poly(self.block, BAR), pymunk.Poly(self.block, STEM)]
        self.block.center_of_gravity = sum(
            (p.center_of_gravity for p in self.parts), pymunk.Vec2d(0, 0)) / 2
        self.space.add(self.block, *self.parts)
        self.agent.position = start[:2]
        self.block.position = start[2:4]
        self.block.angle = start[4]
        self.space.step(0.01)

    def step(self, target):
        for _ in range(10):
            pull = (100 * (target - self.agent.position)
                    + 20 * (pymunk.Vec2d(0, 0) - self.agent.velocity))
            self.agent.velocity += pull * 0.01
            self.space.step(0.01)

    def shape(self, body):
        return shapely.geometry.MultiPolygon([
            shapely.geometry.Polygon([body.local_to_world(v)
                                      for v in part.get_vertices()])
            for part in self.parts])

    def row(self):
        goal = pymunk.Body(1, 1)
        goal.position = 256, 256
        goal.angle = numpy.pi / 4
        there = self.shape(goal)
        covered = there.intersection(self.shape(self.block)).area / there.area
        return [*self.agent.position, *self.block.position, self.block.angle,
                covered]


def episode(seed, steps):
    start = start_state(seed)
    world = World(start)
    random = numpy.random.default_rng(seed)
    target = numpy.array(world.agent.position)
    actions, rows = [], [world.row()]
    for _ in range(steps):
        aim = world.block.local_to_world((random.uniform(-60, 60),
                                          random.uniform(0, 100)))
        target = target + 0.2 * (numpy.array(aim) - target)
        target = numpy.clip(target + random.normal(0, 6, 2), 20, 490)
        target = target.astype(numpy.float32).astype(float)
        actions.append([float(v) for v in target])
        world.step(target)
        rows.append([float(v) for v in world.row()])
    return {"seed": seed, "actions": actions, "rows": rows}


def poses():
    """[x, y, angle, covered share], near the goal and turned any way."""
    random = numpy.random.default_rng(1)
    world = World(start_state(0))
    rows = []
    for spread in [0.5, 3, 20, 60] * 10:
        world.block.angle = numpy.pi / 4 + random.normal(0, spread / 20)
        world.block.position = tuple(random.normal(256, spread, 2))
        rows.append([float(v) for v in world.row()[2:]])
    return rows


def main(path):
    content = {
        "draws": [{"seed": seed, "values": draws(seed)} for seed in SEEDS],
        "starts": [{"seed": seed, "state": start_state(seed)} for seed in SEEDS],
        "poses": poses(),
        "episodes": [episode(*e) for e in EPISODES],
    }
    with open(path, "w") as file:
        json.dump(content, file, separators=(",", ":"))
        file.write("\n")


main(*sys.argv[1:])
