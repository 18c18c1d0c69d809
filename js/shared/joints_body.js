/**
 * A body of 18 joints, in OpenPose's order, and what can be done to it.
 *
 * A body is a list of places [x, y], shares of the picture's width and height, or null where a
 * joint is not there. Right and left are the body's own. `aspect` is the picture's width / height:
 * lengths and angles are those of pixels.
 */

export const NAMES = [
  "Nose",
  "Neck",
  "Right shoulder",
  "Right elbow",
  "Right wrist",
  "Left shoulder",
  "Left elbow",
  "Left wrist",
  "Right hip",
  "Right knee",
  "Right ankle",
  "Left hip",
  "Left knee",
  "Left ankle",
  "Right eye",
  "Left eye",
  "Right ear",
  "Left ear",
];
export const MOST_BODIES = 2; // as many as the models tell apart
const NECK = 1;
const PARENT = [1, null, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15];
// Right and left of each pair; arms and legs, from the trunk.
const PAIRS = [[2, 5], [3, 6], [4, 7], [8, 11], [9, 12], [10, 13], [14, 15], [16, 17]];
const CHAINS = [[2, 3, 4], [5, 6, 7], [8, 9, 10], [11, 12, 13]];

/** [start, end, colour] of what OpenPose draws, in its colours. */
export const LIMBS = [
  [1, 2, "#ff0000"],
  [1, 5, "#ff5500"],
  [2, 3, "#ffaa00"],
  [3, 4, "#ffff00"],
  [5, 6, "#aaff00"],
  [6, 7, "#55ff00"],
  [1, 8, "#00ff00"],
  [8, 9, "#00ff55"],
  [9, 10, "#00ffaa"],
  [1, 11, "#00ffff"],
  [11, 12, "#00aaff"],
  [12, 13, "#0055ff"],
  [1, 0, "#0000ff"],
  [0, 14, "#5500ff"],
  [14, 16, "#aa00ff"],
  [0, 15, "#ff00ff"],
  [15, 17, "#ff00aa"],
];
export const JOINT_COLOURS = NAMES.map(
  (_, joint) => LIMBS.find(([, end]) => end === joint)?.[2] ?? "#ff0055",
);

// A body that stands and is seen from the front, from its neck in lengths of its trunk, and the box
// about it: left, top, width, height. The same stand in skeleton.py and pose/joints.py.
const STANDING = [
  [0, -0.35], [0, 0],
  [-0.35, 0.05], [-0.45, 0.6], [-0.5, 1.1], [0.35, 0.05], [0.45, 0.6], [0.5, 1.1],
  [-0.2, 1], [-0.22, 1.8], [-0.22, 2.6], [0.2, 1], [0.22, 1.8], [0.22, 2.6],
  [-0.07, -0.42], [0.07, -0.42], [-0.15, -0.4], [0.15, -0.4],
];
const STANDING_BOX = [-0.6, -0.7, 1.2, 3.45];
const TALL = 0.8; // of the picture's height

/** The standing figure in a box [left, top, width, height] of shares; none: in the middle. */
export function standing(aspect, box) {
  const [x0, y0, wide, tall] = STANDING_BOX;
  const usual = Math.min(TALL, ((wide / tall) * TALL) / aspect);
  const [left, top, width, height] = box ?? [(1 - usual) / 2, (1 - TALL) / 2, usual, TALL];
  return STANDING.map(([x, y]) => [
    left + ((x - x0) / wide) * width,
    top + ((y - y0) / tall) * height,
  ]);
}

/** A place as far away as `to` is from `from`. */
export const shifted = (place, from, to) => place.map((share, k) => share + to[k] - from[k]);
const inside = (place) => place.map((share) => Math.min(Math.max(share, 0), 1));
const put = (body, changes) => body.map((place, k) => (k in changes ? changes[k] : place));

/** The joint and all that hang on it. */
function hanging(joint) {
  const all = [joint];
  for (const one of all) all.push(...PARENT.flatMap((parent, k) => (parent === one ? [k] : [])));
  return all;
}

/** One joint somewhere else; null takes it away. */
export function moved(body, joint, place) {
  return put(body, { [joint]: place && inside(place) });
}

/** The joint somewhere else, and what hangs on it as much farther. */
export function carried(body, joint, place) {
  const from = body[joint];
  const changes = {};
  for (const k of hanging(joint)) if (body[k]) changes[k] = inside(shifted(body[k], from, place));
  return put(body, changes);
}

/** Turned towards a place: the bone keeps its length, and what hangs on it turns along. */
export function turned(body, joint, place, aspect) {
  const centre = body[PARENT[joint]];
  if (!centre) return carried(body, joint, place);
  const from = toward(centre, body[joint], aspect);
  const to = toward(centre, place, aspect);
  const angle = Math.atan2(to[1], to[0]) - Math.atan2(from[1], from[0]);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const changes = {};
  for (const k of hanging(joint)) {
    if (!body[k]) continue;
    const [x, y] = toward(centre, body[k], aspect);
    changes[k] = inside([centre[0] + (x * cos - y * sin) / aspect, centre[1] + x * sin + y * cos]);
  }
  return put(body, changes);
}

/** From one place to another, both axes in shares of the height. */
const toward = (from, to, aspect) => [(to[0] - from[0]) * aspect, to[1] - from[1]];

/** The arm or leg of the joint in one line; its bones stay as long. The same body if it is none. */
export function straightened(body, joint, aspect) {
  const chain = CHAINS.find((one) => one.includes(joint));
  const [root, middle, tip] = (chain ?? []).map((k) => body[k]);
  if (!root || !tip) return body;
  const way = toward(root, tip, aspect);
  const reach = Math.hypot(...way) || 1;
  const lengths = middle
    ? [Math.hypot(...toward(root, middle, aspect)), Math.hypot(...toward(middle, tip, aspect))]
    : [reach / 2, reach / 2];
  const at = (length) =>
    inside([root[0] + (way[0] * length) / reach / aspect, root[1] + (way[1] * length) / reach]);
  return put(body, { [chain[1]]: at(lengths[0]), [chain[2]]: at(lengths[0] + lengths[1]) });
}

/** The side of the joint, mirrored at the line from neck to hips onto the other side. */
export function mirrored(body, joint, aspect) {
  const fromLeft = PAIRS.some(([, left]) => left === joint);
  const [origin, axis] = middleLine(body, aspect);
  const changes = {};
  for (const [right, left] of PAIRS) {
    const [from, to] = fromLeft ? [left, right] : [right, left];
    changes[to] = body[from] && inside(reflected(body[from], origin, axis, aspect));
  }
  return put(body, changes);
}

function middleLine(body, aspect) {
  const hips = [body[8], body[11]].filter(Boolean);
  const there = body.filter(Boolean);
  const mean = (places) =>
    [0, 1].map((axis) => places.reduce((sum, place) => sum + place[axis], 0) / places.length);
  const origin = body[NECK] ?? mean(there.length ? there : [[0.5, 0.5]]);
  const way = hips.length && body[NECK] ? toward(origin, mean(hips), aspect) : [0, 1];
  const length = Math.hypot(...way);
  return [origin, length ? way.map((one) => one / length) : [0, 1]];
}

function reflected(place, origin, axis, aspect) {
  const [x, y] = toward(origin, place, aspect);
  const along = 2 * (x * axis[0] + y * axis[1]);
  return [origin[0] + (along * axis[0] - x) / aspect, origin[1] + along * axis[1] - y];
}

/** Right and left named the other way round: of a body that is seen from behind. */
export function swapped(body) {
  const changes = {};
  for (const [right, left] of PAIRS) [changes[right], changes[left]] = [body[left], body[right]];
  return put(body, changes);
}

/** Where a joint that is not there would be: as the standing figure has it from its neighbours. */
export function guessed(body, joint, aspect) {
  const model = standing(aspect);
  const near = PARENT[joint] ?? PARENT.indexOf(joint);
  const anchor = [near, ...body.keys()].find((k) => body[k]);
  if (anchor === undefined) return model[joint];
  return inside(shifted(body[anchor], model[anchor], model[joint]));
}
