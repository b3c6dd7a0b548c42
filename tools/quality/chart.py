"""Line charts side by side in one PNG picture, drawn with Pillow."""

import math

from PIL import Image, ImageDraw, ImageFont

PANEL, TALL, LEFT, TOP, BELOW, RIGHT = 520, 400, 62, 40, 52, 14     # pixels of the result
FINER = 2                                                           # drawn so much larger
COLOURS = ["#7f7f7f", "#d62728", "#ff7f0e", "#9467bd", "#8c564b", "#2ca02c", "#1f77b4", "#000000",
           "#e377c2", "#17becf"]


class Panel:
    """Axes of one chart; x and y limits, each linear or logarithmic."""

    def __init__(self, title, x_name, x_range, y_range, log_x=False, log_y=False):
        self.title, self.x_name = title, x_name
        self.x_range, self.y_range, self.log = x_range, y_range, (log_x, log_y)

    def share(self, value, limits, log):
        low, high = limits
        value = min(max(value, low), high)
        if log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)

    def place(self, left, point):
        """Pixel of a point of the chart whose panel starts at `left`."""
        x = self.share(point[0], self.x_range, self.log[0])
        y = self.share(point[1], self.y_range, self.log[1])
        return ((left + LEFT + x * (PANEL - LEFT - RIGHT)) * FINER,
                (TOP + (1 - y) * (TALL - TOP - BELOW)) * FINER)


def ticks(limits, log):
    """Round values within limits."""
    low, high = limits
    if log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        marks = (1,) if len(decades) > 3 else (1, 2, 5)
        values = [m * 10.0 ** d for d in decades for m in marks]
    else:
        step = 10.0 ** math.floor(math.log10((high - low) / 4))
        step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 10)
        values = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]


def draw_axes(draw, panel, left, font):
    for value in ticks(panel.x_range, panel.log[0]):
        x, y = panel.place(left, (value, panel.y_range[0]))
        draw.line([(x, y), (x, TOP * FINER)], "#e6e6e6", FINER)
        draw.text((x, y + 6 * FINER), f"{value:g}", "black", font, "ma")
    for value in ticks(panel.y_range, panel.log[1]):
        x, y = panel.place(left, (panel.x_range[0], value))
        draw.line([(x, y), ((left + PANEL - RIGHT) * FINER, y)], "#e6e6e6", FINER)
        draw.text((x - 6 * FINER, y), f"{value:g}", "black", font, "rm")
    corner = [panel.place(left, (panel.x_range[i], panel.y_range[i])) for i in (0, 1)]
    draw.rectangle([corner[0][0], corner[1][1], corner[1][0], corner[0][1]], None, "black", FINER)
    middle = (corner[0][0] + corner[1][0]) / 2
    draw.text((middle, 14 * FINER), panel.title, "black", font, "ma")
    draw.text((middle, (TALL - 18) * FINER), panel.x_name, "black", font, "ms")


def draw_line(draw, panel, left, points, colour):
    places = [panel.place(left, point) for point in points if all(map(math.isfinite, point))]
    draw.line(places, colour, 2 * FINER, "curve")
    for x, y in places:
        draw.ellipse([x - 3 * FINER, y - 3 * FINER, x + 3 * FINER, y + 3 * FINER], colour)


def names_across(names, width, font):
    """How many fit side by side below the panels, 4 at most."""
    widest = max(font.getlength(name) for name in names) / FINER + 44
    return max(1, min(4, int((width - LEFT) / widest)))


def draw_names(draw, names, width, font):
    across = names_across(names, width, font)
    for i, name in enumerate(names):
        x = (LEFT + i % across * (width - LEFT) / across) * FINER
        y = (TALL + 14 + i // across * 22) * FINER
        draw.line([(x, y), (x + 26 * FINER, y)], COLOURS[i % len(COLOURS)], 3 * FINER)
        draw.text((x + 32 * FINER, y), name, "black", font, "lm")


def write(path, panels, names, lines):
    """lines[panel][name] is a list of (x, y); names give order and colour."""
    width, font = PANEL * len(panels), ImageFont.load_default(14 * FINER)
    height = TALL + 22 * (-(-len(names) // names_across(names, width, font))) + 8
    image = Image.new("RGB", (width * FINER, height * FINER), "white")
    draw = ImageDraw.Draw(image)
    for i, panel in enumerate(panels):
        draw_axes(draw, panel, i * PANEL, font)
        for j, name in enumerate(names):
            if name in lines[i]:
                draw_line(draw, panel, i * PANEL, lines[i][name], COLOURS[j % len(COLOURS)])
    draw_names(draw, names, width, font)
    image.resize((width, height), Image.Resampling.LANCZOS).quantize(256).save(path, optimize=True)
