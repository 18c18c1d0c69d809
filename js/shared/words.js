/** What the widgets say, in the language that is set in ComfyUI. */
import { app } from "../../../scripts/app.js";

const ZH = {
  Reference: "参考图",
  Driver: "驱动",
  Result: "结果",
  Play: "播放",
  Pause: "暂停",
  Frame: "帧",
  Loop: "循环",
  Speed: "速度",
  "Lead-in": "引入段",
  Padding: "补齐帧",
  Given: "已知",
  "Drawn by the model": "由模型绘制",
  "Show the mask": "显示遮罩",
  Caption: "描述",
  Motion: "动作",
  Appearance: "外观",
  Edit: "编辑",
  "Put this text into its field, where you can change it": "把这段文字放入对应的输入框以便修改",
  "Sound on or off": "声音开关",
  "These clips have no sound": "这些片段没有声音",
  "Wipe between driver and result": "驱动与结果的划像对比",
  "Position of the wipe": "划像位置",
  "Run the graph: the reference, the driver and the result play here.":
    "运行工作流后，参考图、驱动视频和结果将在此同步播放。",
  "Run the graph: the composite and its mask are shown here.":
    "运行工作流后，合成画面及其遮罩将显示在此。",
  "These preview files are gone: ComfyUI clears them when it restarts. Run the graph again.":
    "预览文件已不存在：ComfyUI 重启时会清除它们。请重新运行工作流。",
  "This browser cannot play H.264 video. The files themselves are fine: use SaveVideo.":
    "此浏览器无法播放 H.264 视频。文件本身没有问题：请用 SaveVideo 保存后查看。",
};

/** An English phrase in the language set in ComfyUI. */
export function say(english) {
  const locale = app.extensionManager?.setting?.get("Comfy.Locale");
  return (locale === "zh" && ZH[english]) || english;
}
