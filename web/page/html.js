// JSX without a build step.
import { h } from "./preact.js";
import htm from "./htm.js";

export const html = htm.bind(h);
